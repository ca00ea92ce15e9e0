"""The acquirer's states as a table. No I/O."""

from enum import Enum
from typing import Final

from stins import StinsError
from stins.control import AcquirerState

__all__ = ["TRANSITIONS", "AcquirerEvent", "NotNowError", "next_state"]


class AcquirerEvent(Enum):
    """What happens to an acquirer."""

    ARM = "arm"
    TRIGGER = "trigger"
    PAUSE = "wait for the next trigger"
    END = "end"
    CONFIGURE = "configure"
    FAIL = "fail"
    RESET = "reset"


class NotNowError(StinsError):
    """A command that the present state doesn't allow; nothing was changed."""


_S, _E = AcquirerState, AcquirerEvent
TRANSITIONS: Final[dict[tuple[AcquirerState, AcquirerEvent], AcquirerState]] = {
    (_S.IDLE, _E.CONFIGURE): _S.IDLE,
    (_S.IDLE, _E.ARM): _S.ARMED,
    (_S.IDLE, _E.END): _S.IDLE,
    (_S.IDLE, _E.RESET): _S.IDLE,
    (_S.IDLE, _E.FAIL): _S.FAULT,
    (_S.ARMED, _E.TRIGGER): _S.ACQUIRING,
    (_S.ARMED, _E.END): _S.IDLE,
    (_S.ARMED, _E.RESET): _S.IDLE,
    (_S.ARMED, _E.FAIL): _S.FAULT,
    (_S.ACQUIRING, _E.PAUSE): _S.ARMED,
    (_S.ACQUIRING, _E.END): _S.IDLE,
    (_S.ACQUIRING, _E.RESET): _S.IDLE,
    (_S.ACQUIRING, _E.FAIL): _S.FAULT,
    (_S.FAULT, _E.ARM): _S.ARMED,
    (_S.FAULT, _E.CONFIGURE): _S.FAULT,
    (_S.FAULT, _E.END): _S.FAULT,
    (_S.FAULT, _E.FAIL): _S.FAULT,
    (_S.FAULT, _E.RESET): _S.IDLE,
}


def next_state(state: AcquirerState, event: AcquirerEvent) -> AcquirerState:
    """The state after the event; raises `NotNowError` where the table has no row."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        allowed = ", ".join(sorted(e.value for s, e in TRANSITIONS if s is state))
        raise NotNowError(f"cannot {event.value} while {state.value}; allowed now: {allowed}") from None
