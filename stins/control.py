"""What a controller and a daemon say to each other: requests and status values. Plain data, no I/O.

The same values travel as JSON over HTTP (requests and replies) and as server-sent events (pushed status).
"""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec

from .share import Share

__all__ = [
    "AcquirerState",
    "AcquirerStatus",
    "ArmRequest",
    "FrameDescription",
    "JoinRequest",
    "NumbersKey",
    "NumbersRequest",
    "NumbersState",
    "PrepareRequest",
    "Preview",
    "PulseRequest",
    "RecorderState",
    "RecorderStatus",
    "Region",
    "SeriesState",
    "SeriesStatus",
    "StopRequest",
    "TriggerKind",
    "TriggerMode",
    "TriggerRequest",
]

#: `internal`: the detector runs its frames by itself once started; `software`: each /trigger takes some frames;
#: `external`: a cable does.
TriggerMode = Literal["internal", "software", "external"]

#: What a detector can be triggered by; `edge` and `level` are the two kinds of pulse that the mode `external` has: each
#: edge takes the frames of one trigger, a level is as long as its exposure.
TriggerKind = Literal["internal", "software", "edge", "level"]

#: What a recorder can compute of each frame, of the pixels that its mask leaves; `saturated` is how many are.
NumbersKey = Literal["sum", "mean", "max", "saturated"]

#: What somebody else may say in a file at the most.
_REASON_CHARACTERS = 1000

#: How far the numbers of a series are; `failed`: some will not come, which does not touch its frames.
NumbersState = Literal["none", "open", "complete", "failed"]


class AcquirerState(Enum):
    """What the acquirer is doing."""

    IDLE = "idle"
    ARMED = "armed"
    ACQUIRING = "acquiring"
    FAULT = "fault"


class RecorderState(Enum):
    """What the recorder is doing; READY means prepared for a series that has not started.

    RECOVERING: its writer died, or it was stopped in mid-series, and is being started again; an open series goes on.
    """

    IDLE = "idle"
    READY = "ready"
    RECORDING = "recording"
    RECOVERING = "recovering"
    FAULT = "fault"


class _Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ArmRequest(_Value, frozen=True, kw_only=True):
    """Arms one series.

    `filename` null or empty: live only. `triggers` null: until disarmed. The frames of a series are
    `frames_per_trigger` x `triggers`; in `internal` mode one start runs them all.
    """

    series_id: str
    filename: str | None = None
    trigger_mode: TriggerMode = "internal"
    frames_per_trigger: int = 1
    triggers: int | None = 1
    metadata: Mapping[str, Any] = {}

    @property
    def frames_expected(self) -> int | None:
        """How many frames the series will have, where that is known."""
        return None if self.triggers is None else self.triggers * self.frames_per_trigger


class TriggerRequest(_Value, frozen=True, kw_only=True):
    """Takes `frames_per_trigger` frames now (software), or starts the series (internal).

    `first_frame` is the number of the first of them: a number already used takes these frames again.
    """

    first_frame: int | None = None


class PulseRequest(_Value, frozen=True, kw_only=True):
    """Pulses on the trigger input of a simulated detector; with `level` each is `length_s` long."""

    count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    length_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0


class Region(_Value, frozen=True, kw_only=True):
    """A rectangle of pixels with a name: `rows` x `columns`, from pixel (`row`, `column`) of the whole frame on."""

    name: str
    row: int
    column: int
    rows: int
    columns: int


class NumbersRequest(_Value, frozen=True, kw_only=True):
    """Which numbers of each frame the recorder computes: each of `keys`, of the whole frame and of each region.

    `channels` are further images of a frame (of a second threshold, say) of which it computes the same.
    """

    keys: tuple[NumbersKey, ...] = ("sum",)
    regions: tuple[Region, ...] = ()
    channels: tuple[str, ...] = ()


class PrepareRequest(_Value, frozen=True, kw_only=True):
    """Announces a series to the recorder, which checks path and room before anything is armed.

    With a `share` the recorder takes that part of the series which is announced; both its own file and `filename`,
    which will join them, must be free. `numbers` asks for numbers of each frame beside the recording.
    """

    series_id: str
    filename: str | None = None
    frames_expected: int | None = None
    frame_bytes: int | None = None
    share: Share | None = None
    numbers: NumbersRequest | None = None


class JoinRequest(_Value, frozen=True, kw_only=True):
    """Joins the files of recorders that shared a series: the parts of `filename`, named as in `PrepareRequest`.

    `frames_expected` is that of the whole series. `absent` are the shares whose recorder is gone: their files need not
    stand, and what is not in them is missing.
    """

    series_id: str
    filename: str
    count: int
    frames_expected: int | None = None
    absent: tuple[int, ...] = ()


class StopRequest(_Value, frozen=True, kw_only=True):
    """Ends the recorder's open series as incomplete; `reason` stands in its file, where whoever stops it gives one."""

    reason: Annotated[str, msgspec.Meta(max_length=_REASON_CHARACTERS)] = ""

    @classmethod
    def because(cls, reason: str) -> "StopRequest":
        """With as much of a reason as it can have."""
        return cls(reason=reason[:_REASON_CHARACTERS])


class FrameDescription(_Value, frozen=True, kw_only=True):
    """What the next frame will look like; `shape` is the whole frame's, slowest axis first.

    `channels` are the further images that each frame has beside the first (of a second threshold, say), alike in shape
    and type; each is a dataset of that name beside the first one's. `times` are the columns of times that the source
    gives with each frame: `timestamp`, `acquisition_timestamp`.
    """

    shape: tuple[int, ...]
    dtype: str
    compression: str = "none"
    channels: tuple[str, ...] = ()
    times: tuple[str, ...] = ()


class AcquirerStatus(_Value, frozen=True, kw_only=True):
    """The acquirer's whole state, pushed at each change and once a second.

    `streams` and `acks` are where each of its recorders connects to, and where that one sends its acks. `replay`:
    what a recorder loses when it dies is sent to it again; `unacked` messages are kept for that. False with a recorder
    that doesn't ack. `interval_s` is the longest time between two frames, as far as the detector decides. `busy`: what
    an idle detector does that takes long (it is trimmed, or initializes); it can't be armed before that is done.
    `triggers` is what it can be triggered by, however it is set now. `frames_dropped` counts frames that nobody took in
    time, and those that the detector itself did not give, of which there are `frames_not_given`. `drop_reason` is why
    it did not; empty where it gave all, or where that is not known (yet).
    """

    kind: Literal["acquirer"] = "acquirer"
    name: str
    backend: str
    state: AcquirerState
    reason: str = ""
    boot_id: str
    pid: int
    streams: tuple[str, ...] = ()
    acks: tuple[str, ...] = ()
    replay: bool = False
    unacked: int = 0
    unacked_bytes: int = 0
    series_id: str | None = None
    frames_sent: int = 0
    frames_dropped: int = 0
    frames_not_given: int = 0
    drop_reason: str = ""
    frames_expected: int | None = None
    frame: FrameDescription | None = None
    settings: Mapping[str, Any] = {}
    units: Mapping[str, str] = {}
    interval_s: float = 0.0
    busy: str = ""
    triggers: tuple[TriggerKind, ...] = ("internal", "software")


class SeriesState(Enum):
    """What became of a series; FAILED is the recorder's fault (disk, path), INCOMPLETE the stream's."""

    OPEN = "open"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


class Preview(_Value, frozen=True, kw_only=True):
    """Small numbers of one frame, computed beside the recording.

    `total`, `maximum` and `mean` are those of the pixels that the series' pixel mask leaves; of all pixels where there
    is no mask, or one that does not have the frame's shape (a frame in several parts, a region).
    """

    frame_number: int
    row: int
    total: float
    maximum: float
    mean: float


class SeriesStatus(_Value, frozen=True, kw_only=True):
    """The account of one series: received = written + discarded + retaken; the missing are not among them.

    `written` counts flushed frames only, `durable` those of them that a power cut cannot take (forced to the disk).
    `rows` is how many leading rows of the data set a reader finds flushed; it differs from `written` by rows that a
    missing frame left empty.

    `sender_reason` is its sender's own, which is part of `reason`: it has ended the series otherwise than `finished`.

    With a `share` all counts, and the ranges of missing frames, are of its frames only (`frames_expected` too), while
    `frames_total` is the number of frames of the whole series, once its end has said so.

    `generation` grows each time when rows that were written are taken again, those from `rewound_to` on; who missed one
    of these changes reads from the beginning. `numbers_rows` is `rows` of the numbers that were asked for, and
    `numbers_values` are those of the last of these rows, by name, without any that it has not.
    """

    series_id: str | None
    state: SeriesState
    reason: str = ""
    sender_reason: str = ""
    file: str | None = None
    dataset: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    chunk_shape: tuple[int, ...] | None = None
    share: Share | None = None
    frames_expected: int | None = None
    frames_total: int | None = None
    received: int = 0
    written: int = 0
    durable: int = 0
    rows: int = 0
    discarded: int = 0
    retaken: int = 0
    missing: int = 0
    missing_frames: tuple[tuple[int, int], ...] = ()
    duplicates: int = 0
    refused: int = 0
    generation: int = 0
    rewound_to: int = 0
    numbers_rows: int | None = None
    numbers_values: Mapping[str, float] = {}
    numbers_state: NumbersState = "none"


class RecorderStatus(_Value, frozen=True, kw_only=True):
    """The recorder's whole state, pushed at each change and once a second.

    A plain file name goes below `root`, the first of `roots`; `NAME:file` below the one whose folder is called NAME.
    `step` is the call that the writer has been in for longer than `call_limit_s` (create, write, flush, close, sync,
    resume, journal, room), else empty. `restarts` counts the writers that were started after one had died. `joined`
    is the account of the shared series whose parts this recorder joined last. `previews` has that of each recorder,
    where several of them are seen as one.
    """

    kind: Literal["recorder"] = "recorder"
    name: str
    state: RecorderState
    reason: str = ""
    boot_id: str
    pid: int
    writer_pid: int | None = None
    restarts: int = 0
    step: str = ""
    sources: tuple[str, ...] = ()
    live: str | None = None
    root: str = ""
    roots: tuple[str, ...] = ()
    free_bytes: int | None = None
    prepared: str | None = None
    series: SeriesStatus | None = None
    joined: SeriesStatus | None = None
    preview: Preview | None = None
    previews: tuple[Preview, ...] = ()
    notes: tuple[str, ...] = ()
