"""What a vendor folder supplies: a backend. It has no loop, socket or thread of the service's own."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec
from msgspec import UnsetType
from pydantic import BaseModel

from stins import UNSET, SeriesHeader, StinsError
from stins.control import ArmRequest, FrameDescription, PulseRequest, TriggerKind, TriggerRequest
from stins.daemon import check_config
from stins.messages import EndStatus, FrameLayout, Part, Payload
from stins.transport import Link

__all__ = [
    "Backend",
    "BackendError",
    "CanAbort",
    "Ending",
    "Frame",
    "HardwareError",
    "HasReference",
    "KnowsAbsence",
    "KnowsArming",
    "KnowsBusy",
    "KnowsInterval",
    "KnowsLosses",
    "KnowsTriggers",
    "KnowsUnanswered",
    "Opening",
    "TakesPulses",
    "WrapsLink",
    "differ",
    "refuse_trigger_mode",
    "with_changes",
]


class BackendError(StinsError):
    """The hardware (or what stands for it) refused or failed; the text says what to do."""


class HardwareError(BackendError):
    """The hardware can't be used as it is, whatever is asked of it: the acquirer is in FAULT until the next `arm`."""


class Frame(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One frame as the detector handed it over; `payload` is passed on uncopied, so it must not change any more.

    It is let go of when no recorder needs it any more: once it is acked, or sent to one that doesn't ack, or given up.
    A backend that has to know when (its frames take room on the detector) hangs a `weakref.finalize` on it.

    `number` counts from 0 in the series. `timestamp` is seconds since its start, `acquisition_timestamp` the start of
    the exposure in nanoseconds since the Unix epoch. `count` > 1: several frames of numbers, without any image.
    `retake`: the source itself takes this number again. `frames_dropped`: those that it lost before this one.
    """

    number: int
    parts: tuple[Part, ...] = ()
    payload: tuple[Payload, ...] = ()
    layout: FrameLayout | UnsetType = UNSET
    timestamp: float | tuple[float, ...] | UnsetType = UNSET
    acquisition_timestamp: int | tuple[int, ...] | UnsetType = UNSET
    discard: bool | UnsetType = UNSET
    retake: bool = False
    frames_dropped: tuple[tuple[int, int], ...] = ()
    detector_specific: dict[str, Any] | UnsetType = UNSET
    count: int = 1


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What the series-start says. The service fills in id, source, file name and arm time.

    `frames_expected` overrides what was asked for, where the source knows better (a capture); None there means that
    nobody knows. `payload` holds the arrays of the series (pixel mask, flat field) that `header.data` describes.
    """

    header: SeriesHeader
    payload: tuple[Payload, ...] = ()
    frames_expected: int | UnsetType | None = UNSET


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """The source's own end of a series; `frames_dropped`: those that it lost behind its last frame."""

    status: EndStatus = "finished"
    reason: str = ""
    frames_dropped: tuple[tuple[int, int], ...] = ()
    detector_specific: dict[str, Any] | UnsetType = UNSET


class Backend(Protocol):
    """One detector. Every call comes from one thread; each returns within seconds or raises `BackendError`.

    The class is made with its settings: `SimulatedBackend(SimulatedBackend.Settings(...))`.
    """

    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802  # a class that is an attribute of a class
        """The model of what can be configured: every field described, with its unit (`json_schema_extra`)."""

    @property
    def settings(self) -> BaseModel:
        """What is set now, as read back."""

    @property
    def can_wait(self) -> bool:
        """Whether the source may be held up when nobody takes its frames (a simulation as fast as it goes, a capture);
        the frames of a source that can't wait are dropped, counted and declared."""

    def describe(self) -> FrameDescription | None:
        """What the next frame will look like; None for a source of numbers without any image."""

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Sets some settings; refuses unknown names and bad values by name, changing nothing then."""

    def arm(self, request: ArmRequest) -> Opening:
        """Gets ready for a series."""

    def trigger(self, request: TriggerRequest) -> None:
        """Takes `frames_per_trigger` frames from now on (software), or starts the series (internal).

        With an external trigger it is not called: `read` is from `arm` on.
        `request.first_frame`, where given, is the number of the first of them; it may have been used before.
        """

    def read(self, timeout_s: float) -> Sequence[Frame]:
        """The frames that are there, waiting at most `timeout_s` for the first; may be empty."""

    def triggered(self) -> bool:
        """Whether frames of the last trigger are still to come."""

    def ending(self) -> Ending | None:
        """The source's own end of the series once all its frames were read, else None.

        Asked once more after `disarm`, when `read` gives nothing more: what was lost behind the last frame.
        """

    def disarm(self) -> None:
        """Ends the series; `read` gives what the detector still holds, then nothing. Twice does no harm."""

    def close(self) -> None:
        """Lets the hardware go. Closing twice does no harm."""


@runtime_checkable
class WrapsLink(Protocol):
    """A backend that puts something between the service and the socket (faults on request)."""

    def wrap(self, link: Link) -> Link:
        """The link to send through instead."""


@runtime_checkable
class CanAbort(Protocol):
    """A backend that can end a series at once, without what the detector still holds."""

    def abort(self) -> None:
        """Instead of `disarm`. Twice does no harm."""


@runtime_checkable
class HasReference(Protocol):
    """A backend that can say what a frame's pixels are, independently of what was sent (to prove a chain)."""

    def reference(self, frame_number: int) -> bytes:
        """The frame as an .npy file; raises `BackendError` for a frame that it doesn't know.

        The one call that comes from another thread, so that it doesn't hold up the frames.
        """


@runtime_checkable
class KnowsInterval(Protocol):
    """A backend whose frames may be further apart than its settings `exposure_s` and `period_s` say."""

    @property
    def interval_s(self) -> float:
        """The longest time between two of its frames once they are triggered, in s; nobody takes that for a stall."""


@runtime_checkable
class KnowsTriggers(Protocol):
    """A backend whose detector can be triggered by more than commands, or by less."""

    @property
    def triggers(self) -> tuple[TriggerKind, ...]:
        """What it can be triggered by, however it is set now."""


@runtime_checkable
class TakesPulses(Protocol):
    """A simulation that has a trigger input."""

    def pulse(self, request: PulseRequest) -> None:
        """Pulses on it; raises `BackendError` where no series waits for them."""


@runtime_checkable
class KnowsLosses(Protocol):
    """A backend that knows of lost frames before another frame, or its own end, can name them."""

    def lost(self) -> tuple[tuple[int, int], ...]:
        """Frames of the series that are lost and that nothing has named yet. Asked often, and answered without waiting.

        They are still the backend's to declare, with the next frame or the end; an abort declares them for it.
        """

    def why_lost(self, *, quickly: bool = False) -> str:
        """Why frames of the series did not come; "" where none are lost, or nobody knows it.

        Asked at the end of a series where some are, and before an abort. `quickly`: in mid-series, often, and answered
        without waiting, because the frames go first: "" where nothing is known yet. Whatever it raises is logged, and
        the series goes on without it.
        """


@runtime_checkable
class KnowsBusy(Protocol):
    """A backend whose detector may do between series what takes longer than anybody waits for a command."""

    def busy(self) -> str:
        """What that is; "" once the detector can be armed. Asked while no series is open, and answered without waiting.

        Raises `BackendError` once when it went wrong: the acquirer is in FAULT then.
        """


@runtime_checkable
class KnowsArming(Protocol):
    """A backend whose detector may take longer to arm than other commands take."""

    @property
    def arming_s(self) -> float:
        """How much longer `arm` may take, in s. Any thread may ask."""


@runtime_checkable
class KnowsUnanswered(Protocol):
    """A backend whose hardware may take long to answer what arms it."""

    def unanswered(self) -> str:
        """What `arm` has been waiting for, and for how long; "" for some seconds, and else. Any thread may ask."""


@runtime_checkable
class KnowsAbsence(Protocol):
    """A backend that can be made while its hardware is not there, and looks for it until it is."""

    def absent(self) -> str:
        """Why it cannot be used yet; "" once it can. Asked while no series is open, and answered without waiting.

        To look for it, and to set it up, is what threads of the backend do, which `arm` and `configure` must wait for.
        The acquirer is in FAULT meanwhile; a reset ends that for 2 s. Once it is there, `describe` and `settings` are
        read again. Raises `BackendError` once when the hardware is there and can't be set up.
        """


M = TypeVar("M", bound=BaseModel)


def with_changes(settings: M, changes: Mapping[str, Any]) -> M:
    """The settings with some changed; raises `ConfigError` that names what is unknown or bad."""
    return check_config({**settings.model_dump(), **changes}, type(settings), "configure")


def differ(one: M, other: M, names: Collection[str]) -> bool:
    """Whether one of these settings is another there."""
    return any(getattr(one, name) != getattr(other, name) for name in names)


def refuse_trigger_mode(mode: str, supported: Collection[str]) -> None:
    """Raises `BackendError` for a mode that the detector can't do."""
    if mode not in supported:
        raise BackendError(f"trigger_mode: got {mode!r}, expected one of {', '.join(supported)}")
