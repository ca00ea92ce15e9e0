"""Why somebody is behind, and what to do about it: one table for all messages of the controller. No I/O."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec

from .snapshot import Role

__all__ = ["REMEDIES", "Cause", "Debt"]


class Cause(Enum):
    """What is wrong, as far as it can be told from outside."""

    OFFLINE = "a process does not answer"
    FAULT = "a process is in FAULT"
    IN_USE = "somebody else has a series"
    LEFT_OPEN = "a series of before has not ended"
    BUSY = "the detector is busy"
    NO_START = "the series-start did not arrive"
    NO_FRAME = "the detector gave no frame"
    NO_PULSE = "no pulse took a frame"
    STRAY_PULSE = "a pulse took a frame that nobody had asked for"
    NOT_ARRIVED = "frames are on their way"
    NOT_FLUSHED = "frames are not in the file"
    NOT_CLOSED = "the file is not closed"
    LOST = "frames are missing"
    DROPPED = "the acquirer dropped frames"
    NOT_GIVEN = "the detector did not give frames, and the acquirer says why"
    ENDED = "the series ended before"
    FAILED = "the recorder could not go on"
    NOT_ARMED = "no series is armed"
    NO_NUMBERS = "numbers of frames were asked for, and nobody computes them"
    NOT_NUMBERED = "frames have no numbers yet"


#: What to do.
REMEDIES: Final[Mapping[Cause, str]] = {
    Cause.OFFLINE: "`stins status` says whether it runs; `stins up` starts it again",
    Cause.FAULT: "see to that; the next series leaves FAULT, and so does detector.controller.reset()",
    Cause.IN_USE: "wait for whoever has it, or end that series by detector.controller.reset()",
    Cause.LEFT_OPEN: "detector.controller.reset() ends that series",
    Cause.BUSY: "wait until `stins status` does not say so any more",
    Cause.NO_START: "is the acquirer one of its sources?",
    Cause.NO_FRAME: "does the detector run, with the exposure that is set? look at the acquirer's messages",
    Cause.NO_PULSE: (
        "did the pulses come, and not too fast for it? exposure_timeout of the TriggerInfo says how long they may stay "
        "away"
    ),
    Cause.STRAY_PULSE: (
        "take the series again, with pulses only between a kickoff and its complete; a detector that is armed takes a "
        "frame with each"
    ),
    Cause.NOT_ARRIVED: "is the network, or the recorder's computer, too slow? look at the recorder's messages",
    Cause.NOT_FLUSHED: "is the recorder's disk too slow, or does it hang? look at the recorder's messages",
    Cause.NOT_CLOSED: (
        "is the recorder's disk too slow, or does it hang? it goes on by itself, or by detector.controller.reset()"
    ),
    Cause.LOST: "take the series again; is the network or a disk too slow for this rate?",
    Cause.DROPPED: "take the series again, slower or with a larger ring; look at the acquirer's messages",
    Cause.NOT_GIVEN: "see to that and take the series again",
    Cause.ENDED: "take the series again",
    Cause.FAILED: "see to that and take the series again; what was flushed is readable",
    Cause.NOT_ARMED: "call arm() first",
    Cause.NO_NUMBERS: "was the recorder started again just now? take the series again",
    Cause.NOT_NUMBERED: "the frames are in the file; why their numbers do not come, the recorder's messages say",
}


class Debt(msgspec.Struct, frozen=True):
    """Who is behind, with what, and why as far as that can be told; `expected` is what should have been."""

    role: Role
    problem: str
    cause: Cause
    expected: str = ""

    @property
    def remedy(self) -> str:
        """What to do."""
        return REMEDIES[self.cause]
