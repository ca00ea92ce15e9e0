"""The combined state of an acquirer and its recorder, as a table. No I/O."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from stins.control import AcquirerState, RecorderState

__all__ = ["COMBINED", "CombinedState"]


class CombinedState(Enum):
    """What the detector as a whole is doing.

    FINISHING: one of the two is done with the series, the other isn't yet. ARMED only once the recorder's file is open.
    """

    OFFLINE = "offline"
    IDLE = "idle"
    ARMED = "armed"
    ACQUIRING = "acquiring"
    FINISHING = "finishing"
    FAULT = "fault"


_A, _R, _C = AcquirerState, RecorderState, CombinedState

#: None: nothing is heard of that process. OFFLINE goes before FAULT: who cannot be asked cannot be reset. RECOVERING
#: is RECORDING: the series goes on, and nothing else can begin.
COMBINED: Final[Mapping[tuple[AcquirerState | None, RecorderState | None], CombinedState]] = {
    (None, None): _C.OFFLINE,
    (None, _R.IDLE): _C.OFFLINE,
    (None, _R.READY): _C.OFFLINE,
    (None, _R.RECORDING): _C.OFFLINE,
    (None, _R.RECOVERING): _C.OFFLINE,
    (None, _R.FAULT): _C.OFFLINE,
    (_A.IDLE, None): _C.OFFLINE,
    (_A.ARMED, None): _C.OFFLINE,
    (_A.ACQUIRING, None): _C.OFFLINE,
    (_A.FAULT, None): _C.OFFLINE,
    (_A.FAULT, _R.IDLE): _C.FAULT,
    (_A.FAULT, _R.READY): _C.FAULT,
    (_A.FAULT, _R.RECORDING): _C.FAULT,
    (_A.FAULT, _R.RECOVERING): _C.FAULT,
    (_A.FAULT, _R.FAULT): _C.FAULT,
    (_A.IDLE, _R.FAULT): _C.FAULT,
    (_A.ARMED, _R.FAULT): _C.FAULT,
    (_A.ACQUIRING, _R.FAULT): _C.FAULT,
    (_A.IDLE, _R.IDLE): _C.IDLE,
    (_A.IDLE, _R.READY): _C.IDLE,
    (_A.IDLE, _R.RECORDING): _C.FINISHING,
    (_A.IDLE, _R.RECOVERING): _C.FINISHING,
    # The recorder has closed its file already; the acquirer's own word comes by another connection.
    (_A.ARMED, _R.IDLE): _C.FINISHING,
    # The series-start is on its way: a trigger now would be too early.
    (_A.ARMED, _R.READY): _C.IDLE,
    (_A.ARMED, _R.RECORDING): _C.ARMED,
    (_A.ARMED, _R.RECOVERING): _C.ARMED,
    (_A.ACQUIRING, _R.IDLE): _C.FINISHING,
    (_A.ACQUIRING, _R.READY): _C.ACQUIRING,
    (_A.ACQUIRING, _R.RECORDING): _C.ACQUIRING,
    (_A.ACQUIRING, _R.RECOVERING): _C.ACQUIRING,
}
