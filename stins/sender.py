"""The sender's series machine: it numbers the messages and keeps the order. No I/O."""

from enum import Enum
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from .errors import LocalProtocolError
from .messages import (
    Acquisition,
    Beamline,
    Data,
    Detector,
    EndStatus,
    FrameLayout,
    Part,
    SeriesEnd,
    SeriesInfo,
    SeriesStart,
)
from .share import ALL
from .spans import Spans

__all__ = ["SenderState", "SeriesHeader", "SeriesSender"]


class SenderState(Enum):
    """Whether a series is open."""

    IDLE = "idle"
    OPEN = "open"


class SeriesHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a series-start says, before it has a number."""

    series: SeriesInfo = SeriesInfo()
    detector: Detector | UnsetType = UNSET
    acquisition: Acquisition | UnsetType = UNSET
    beamline: Beamline | UnsetType = UNSET
    data: tuple[Part, ...] | UnsetType = UNSET
    frame: FrameLayout | UnsetType = UNSET
    arm_time: str | UnsetType = UNSET
    detector_specific: dict[str, Any] | UnsetType = UNSET


#: Looked up once: an enumeration is six times as slow as a module, and this is asked for with each frame.
_OPEN: Final = SenderState.OPEN
#: Which calls each state allows, and the state after it; a pair that is not here is our own bug.
TRANSITIONS: Final[dict[tuple[SenderState, str], SenderState]] = {
    (SenderState.IDLE, "series-start"): SenderState.OPEN,
    (SenderState.OPEN, "data"): SenderState.OPEN,
    (SenderState.OPEN, "series-end"): SenderState.IDLE,
}


class SeriesSender:
    """Makes the messages of one series after the other: ids dense, frame numbers true, drops declared.

    Where the header has a share, only its frames are sent and counted; dropped ones of other shares are not declared.

    Every method raises `LocalProtocolError` where the protocol does not allow that message now.
    """

    def __init__(self, first_message_id: int = 0) -> None:
        self.state = SenderState.IDLE
        self._next_id = first_message_id
        self._sent = 0
        self._dropped_total = 0
        self._frames = ALL
        self._undeclared = Spans()  # counted as in the share
        self._used_up_to = 0
        self._retake_up_to = 0

    @property
    def frames_sent(self) -> int:
        """Frames of this series that became a message."""
        return self._sent

    @property
    def frames_dropped(self) -> int:
        """Frames of this series that had to be dropped."""
        return self._dropped_total

    def start(self, header: SeriesHeader) -> SeriesStart:
        """The series-start; the counters begin anew."""
        self._move("series-start")
        message_id = self._take_id()
        self._sent = self._dropped_total = self._used_up_to = self._retake_up_to = 0
        self._undeclared = Spans()
        self._frames = header.series.share or ALL
        return SeriesStart(
            version=1,
            message_id=message_id,
            series=header.series,
            detector=header.detector,
            acquisition=header.acquisition,
            beamline=header.beamline,
            data=header.data,
            frame=header.frame,
            arm_time=header.arm_time,
            detector_specific=header.detector_specific,
        )

    def data(
        self,
        frame_number: int,
        *,
        frames: int = 1,
        data: tuple[Part, ...] | UnsetType = UNSET,
        frame: FrameLayout | UnsetType = UNSET,
        timestamp: float | tuple[float, ...] | UnsetType = UNSET,
        acquisition_timestamp: int | tuple[int, ...] | UnsetType = UNSET,
        discard: bool | UnsetType = UNSET,
        retake: bool | UnsetType = UNSET,
        detector_specific: dict[str, Any] | UnsetType = UNSET,
    ) -> Data:
        """A data message; it names the frames dropped since the last one.

        After a `retake` every message whose frame number was used before says so too: any of them may be lost.
        """
        # Every frame comes by here, and data leaves the state as it is.
        if self.state is not _OPEN:
            self._move("data")
        message_id = self._next_id
        self._next_id += 1
        self._sent += frames
        if retake:
            self._retake_up_to = self._used_up_to
            self._undeclared.remove(self._frames.before(frame_number), self._frames.before(self._used_up_to))
        elif frame_number < self._retake_up_to:
            retake = True
        self._used_up_to = max(self._used_up_to, frame_number + frames)
        return Data(
            version=1,
            message_id=message_id,
            frame_number=frame_number,
            data=data,
            frame=frame,
            timestamp=timestamp,
            acquisition_timestamp=acquisition_timestamp,
            discard=discard,
            retake=retake,
            detector_specific=detector_specific,
            frames_dropped=self._take_dropped() if self._dropped_total else UNSET,
        )

    def unsend(self, message: Data, frames: int = 1) -> None:
        """Takes back the message made last, which found no room: its frames are dropped, its id is used again."""
        if message.message_id != self._next_id - 1:
            raise LocalProtocolError(f"got message_id {message.message_id} to take back, expected {self._next_id - 1}")
        self._next_id -= 1
        self._sent -= frames
        for first, last in self._frames.inside(message.frames_dropped or ()):
            self._undeclared.add(first, last)
        self.drop(message.frame_number, message.frame_number + frames - 1)

    def drop(self, first: int, last: int) -> None:
        """Counts frames that never became a message; the next message names them."""
        for own_first, own_last in self._frames.inside([(first, last)]):
            self._undeclared.add(own_first, own_last)
            self._dropped_total += own_last - own_first + 1
            self._used_up_to = max(self._used_up_to, self._frames.frame(own_last) + 1)

    def end(
        self,
        status: EndStatus = "finished",
        reason: str | UnsetType = UNSET,
        detector_specific: dict[str, Any] | UnsetType = UNSET,
        frames_total: int | UnsetType = UNSET,
    ) -> SeriesEnd:
        """The series-end, with what the receiver needs to prove that it has everything."""
        if frames_total is not UNSET:
            # Dropped, and then not taken again: the series went back to before these.
            self._undeclared.remove(self._frames.before(frames_total), self._frames.before(self._used_up_to))
        self._move("series-end")
        return SeriesEnd(
            version=1,
            message_id=self._take_id(),
            frames_sent=self._sent,
            frames_total=frames_total,
            frames_dropped=self._take_dropped(),
            status=status,
            reason=reason,
            detector_specific=detector_specific,
        )

    def _move(self, message_type: str) -> None:
        try:
            self.state = TRANSITIONS[self.state, message_type]
        except KeyError:
            raise LocalProtocolError(f"got {message_type} to send in state {self.state.value}") from None

    def _take_id(self) -> int:
        message_id = self._next_id
        self._next_id += 1
        return message_id

    def _take_dropped(self) -> tuple[tuple[int, int], ...] | UnsetType:
        if not len(self._undeclared):
            return UNSET
        dropped, self._undeclared = self._frames.outside(self._undeclared), Spans()
        return dropped
