"""How long the controller waits for what."""

from typing import Final

import msgspec

__all__ = ["Deadlines", "deadlines_of"]


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """Every deadline of the controller, in seconds."""

    connect_s: float = 5.0
    """Until both processes have said how they are."""
    command_s: float = 5.0
    """Until a process answers a command (trigger, configure, prepare, reset)."""
    arm_s: float = 15.0
    """Until the acquirer is armed, and again until the recorder has opened the file."""
    busy_s: float = 300.0
    """How long an idle detector may be busy with what it was told before (trimming, initializing) until it is armed.
    The acquirer's own deadlines are shorter."""
    stall_s: float = 5.0
    """How long nothing may happen while frames are awaited, on top of twice the time between two frames."""
    pulse_s: float = 60.0
    """How much longer nothing may happen where a cable triggers, while pulses of it are awaited."""
    close_s: float = 15.0
    """Until a series that was told to end is closed in the recorder."""
    offline_s: float = 1.0
    """How long a process may be out of hearing before what is awaited has failed."""
    numbers_s: float = 60.0
    """How long no further frame may get the numbers that were asked for before they are done without. A process that
    computes them and hangs with a row is given up three times, and the row skipped, in less."""
    away_s: float = 15.0
    """How long a recorder may be, whose frames the acquirer keeps meanwhile (replay): one that is started again goes on
    with its series. Among several recorders, how long the others wait for it before they are joined without it."""

    def stall_of(self, interval_s: float) -> float:
        """How long no frame may come from a detector whose frames are so far apart, in seconds."""
        return self.stall_s + 2 * interval_s

    @property
    def over_s(self) -> float:
        """How long all may take until nothing is under way: once its series is closed, one command more may be."""
        return self.close_s + self.command_s


#: By the acquirer's backend, where the usual ones don't do. A DCU may take two minutes to arm, and seconds for each of
#: several keys that depend on another; what is too long is said by the acquirer, whose own deadlines are shorter.
#: A camserver has 5 s for each answer, and the refusal of a threshold is waited for 2 s more.
_BY_BACKEND: Final = {
    "eiger": Deadlines(arm_s=150.0, command_s=20.0),
    "pilatus": Deadlines(command_s=10.0),
}


def deadlines_of(backend: str) -> Deadlines:
    """The deadlines that a detector with an acquirer of that backend needs."""
    return _BY_BACKEND.get(backend, Deadlines())
