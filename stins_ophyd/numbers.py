"""Numbers of frames in a detector's documents: as values of an event, and as streams with one for each frame."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from ophyd import Device, Kind, Staged

from stins import StinsError
from stins.control import FrameDescription, NumbersRequest
from stins.numbers import names_of, problem_with

from .settings import OwnSignal
from .streams import StreamKey

__all__ = ["FrameNumbers", "number_keys"]

#: Where the recorder keeps what it computes, and how long the pieces of such a column are.
_COMPUTED, _CHUNK = "/entry/frame_numbers", (1024,)
#: What may come with each frame: its column in the file, how documents call that, and its type.
_COMING = {
    "sequence_number": ("frame_number", "<u8", ""),
    "timestamp": ("frame_timestamp", "<f8", "s"),
    "acquisition_timestamp": ("frame_acquisition_timestamp", "<i8", "ns"),
}


class FrameNumbers:
    """The numbers that a detector's recorder is to compute; none where `wanted` is None.

    `wanted` may be only their names: those of the whole frame. Each is a signal, `DEVICE_mean` or `DEVICE_REGION_mean`,
    with that of the last frame of a point; of a further image of the frame `DEVICE_CHANNEL_mean`.

    Raises:
        StinsError: it cannot be asked for so.
    """

    def __init__(self, device: Device, wanted: NumbersRequest | Sequence[str] | None) -> None:
        self._device, self._prefix = device, device.name
        self.request: NumbersRequest | None = None
        self.signals: dict[str, OwnSignal] = {}
        self._take_over(_request(self._prefix, wanted))

    def ask(self, wanted: NumbersRequest | Sequence[str] | None) -> None:
        """Asks for others from the next staging on; where they cannot be, those of before stay.

        Raises:
            StinsError: it cannot be asked for so, or the detector is staged.
        """
        if self._device._staged is not Staged.no:
            raise StinsError(
                f"{self._prefix}: numbers: the detector is staged; ask for others before that, or after it"
            )
        request = _request(self._prefix, wanted)
        if (frame := self._frame) is not None:
            self._check_regions(request, frame)
        self._take_over(request)

    def _take_over(self, request: NumbersRequest | None) -> None:
        self.request, self.signals = request, {}
        self._show_those_of(request)

    def of(self, frame: FrameDescription) -> NumbersRequest | None:
        """What the recorder is to compute of such frames: of each of their images, where no channels were named.

        Raises:
            StinsError: a region is not in the frame, there is no such channel, or two numbers would have one name.
        """
        if self.request is None:
            return None
        self._check_regions(self.request, frame)
        channels = self.request.channels or frame.channels
        if lacking := [channel for channel in channels if channel not in frame.channels]:
            has = ", ".join(frame.channels) or "none"
            raise StinsError(f"{self._prefix}: numbers: got channel {lacking[0]}, expected one that frames have: {has}")
        request = msgspec.structs.replace(self.request, channels=channels)
        if problem := problem_with(request):
            raise StinsError(f"{self._prefix}: numbers: {problem}")
        return request

    def follow(self, frame: FrameDescription) -> None:
        """There is a signal for each number of such frames. It raises what `of` does."""
        self._show_those_of(self.of(frame))

    @property
    def _frame(self) -> FrameDescription | None:
        """What the frames look like, where somebody has heard of them."""
        controller = getattr(self._device, "controller", None)
        acquirer = controller.snapshot.acquirer if controller is not None else None
        return acquirer.frame if acquirer is not None else None

    def _check_regions(self, request: NumbersRequest | None, frame: FrameDescription) -> None:
        for region in request.regions if request else ():
            bottom, right = region.row + region.rows, region.column + region.columns
            if len(frame.shape) != 2 or bottom > frame.shape[0] or right > frame.shape[1]:
                raise StinsError(
                    f"{self._prefix}: region {region.name}: got rows {region.row} to {bottom - 1}, columns "
                    f"{region.column} to {right - 1}, expected pixels of a frame of shape {list(frame.shape)}; ask for "
                    f"another by {self._prefix}.numbers.ask(...)"
                )

    def _show_those_of(self, request: NumbersRequest | None) -> None:
        before = self.signals
        self.signals = {
            name: before.get(name)
            or OwnSignal(name=f"{self._prefix}_{name}", value=float("nan"), parent=self._device, kind=Kind.hinted)
            for name in (names_of(request) if request else ())
        }

    def keys(self, source: str, frame: FrameDescription, frames_per_event: int) -> list[StreamKey]:
        """The keys of the streams of numbers.

        Raises:
            StinsError: as `of`.
        """
        return number_keys(self._prefix, source, frame, self.of(frame), frames_per_event)

    def show(self, values: Mapping[str, float]) -> None:
        """A point was taken: its last frame has these numbers; NaN are those that it has not."""
        for name, signal in self.signals.items():
            signal.put(values.get(name, float("nan")))

    def read(self) -> dict[str, Any]:
        """The numbers of the last point."""
        return {key: reading for signal in self.signals.values() for key, reading in signal.read().items()}

    def describe(self) -> dict[str, Any]:
        """The data keys of `read`."""
        return {key: described for signal in self.signals.values() for key, described in signal.describe().items()}

    @property
    def fields(self) -> list[str]:
        """What tables and plots show."""
        return [signal.name for signal in self.signals.values()]

    def fields_beside(self, own: Sequence[str], doubled: Mapping[str, str]) -> list[str]:
        """The same behind those of the device's `own` that no number doubles."""
        left_out = {doubled[name] for name in self.fields if name in doubled}
        return [name for name in (*own, *self.fields) if name not in left_out]

    @property
    def text(self) -> str:
        """What was asked for, as the file says it."""
        return msgspec.json.encode(self.request).decode() if self.request else ""


def number_keys(
    prefix: str, source: str, frame: FrameDescription, request: NumbersRequest | None, frames_per_event: int
) -> list[StreamKey]:
    """The frame's number, its times where the source gives them, and what was asked for: one for each frame."""
    shape = [frames_per_event] if frames_per_event > 1 else []

    def key(name: str, dtype: str, dataset: str, units: str) -> StreamKey:
        word = "array" if shape else "number" if dtype == "<f8" else "integer"
        about = {"source": source, "dtype": word, "dtype_numpy": dtype, "shape": shape, "external": "STREAM:"}
        return StreamKey(f"{prefix}_{name}", about | ({"units": units} if units else {}), dataset, _CHUNK)

    coming = ("sequence_number", *(time for time in frame.times if time in _COMING))
    computed = names_of(request) if request else ()
    return [
        *(key(name, dtype, column, units) for column in coming for name, dtype, units in [_COMING[column]]),
        *(key(f"frame_{name}", "<f8", f"{_COMPUTED}/{name}", "") for name in computed),
    ]


def _request(device: str, wanted: NumbersRequest | Sequence[str] | None) -> NumbersRequest | None:
    if wanted is None or isinstance(wanted, NumbersRequest):
        request = wanted
    else:
        keys: Mapping[str, object] = {"keys": [wanted] if isinstance(wanted, str) else list(wanted)}
        try:
            request = msgspec.convert(keys, NumbersRequest)
        except msgspec.ValidationError as error:
            raise StinsError(f"{device}: numbers: {error}; expected some of sum, mean, max, saturated") from None
    if request is None:
        return None
    # `DEVICE_frame_sum` is the stream of the whole frame's, and `DEVICE_frame_a_sum` that of region a's.
    taken = [region.name for region in request.regions if region.name == "frame" or region.name.startswith("frame_")]
    reserved = f"got a region called {taken[0]!r}, expected none that begins so: streams do" if taken else ""
    if problem := problem_with(request) or reserved:
        raise StinsError(f"{device}: numbers: {problem}")
    return request
