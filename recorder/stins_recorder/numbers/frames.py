"""The frames of a series that may still be recorded, read from its file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np

from stins.numbers import images

from ..errors import RecorderError
from ..nexus import DETECTOR, SERIES
from ..series.asked import Asked, read_asked
from ..series.frame_numbers import NO_FRAME
from ..series.segment_views import read_segments
from ..storage.datasets import fill_value
from .data_files import read_data_file, require_sources
from .reading import NotNowError, flags_of, opened
from .reduce import Counted, Pixels, Rows

__all__ = ["Batch", "Frames"]

#: What the superblock of a file says that is open for writing, with others beside it.
_RUNNING = 5
#: So many bytes of pixels are read at once: 10 to 50 ms.
_BATCH_BYTES = 16 << 20


class Batch(msgspec.Struct, frozen=True):
    """The pixels of some rows, in buffers that the next batch overwrites, and which rows hold a frame.

    Both `images` and what is `counted` of them are by channel, with "" for the first image; a channel that the frames
    do not have is left out.
    """

    images: Mapping[str, Pixels]
    holds_frame: Rows
    counted: Mapping[str, Counted]

    @property
    def size_bytes(self) -> int:
        """How many bytes of pixels these are."""
        return sum(pixels.nbytes for pixels in self.images.values())


class Frames:
    """Opens the file for each batch anew: whatever a writer has done to it meanwhile, what is seen is how it is now.

    Every method raises what h5py raises.

    Raises:
        RecorderError: nobody asked for numbers of this series.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffers: dict[str, Pixels] = {}
        self._counted: Mapping[str, Counted] | None = None
        with opened(path) as file:
            asked = read_asked(file)
        if asked is None:
            raise RecorderError(f"{path}: nobody asked for numbers of its frames")
        self.asked: Asked = asked

    def read(self, first: int, last: int, *, over: bool) -> Batch:
        """Row `first`, and as many of those before `last` as make a batch; `over`: the series is.

        Raises:
            NotNowError: the file was being closed or opened meanwhile, or is another one by now.
            RecorderError: it has no images, or a data file is not the one with these rows.
        """
        before = flags_of(self._path)
        with opened(self._path) as file:
            if read_asked(file) != self.asked:
                raise NotNowError(f"{self._path}: it is another file by now")
            data, sequence = self._data(file[DETECTOR]), file.get(f"{DETECTOR}/sequence_number")
            if "" not in data or sequence is None:
                raise RecorderError(f"{self._path}: it has no images")
            frame_bytes = sum(int(np.prod(each.shape[1:])) * each.dtype.itemsize for each in data.values())
            last = min(last, first + max(1, _BATCH_BYTES // frame_bytes))
            if (segments := read_segments(file)) is not None:
                # One data file at a time.
                last = min(last, segments.first(segments.index(first) + 1))
            pixels = {channel: self._room(channel, last - first, each) for channel, each in data.items()}
            empty = _empty(sequence[first:last], first) | _missing(file, sequence[first:last])
            doubtful = _is_doubtful(file)
            if segments is not None and not doubtful:
                by_name = {_dataset(channel): those for channel, those in pixels.items()}
                read_data_file(by_name, first, empty, self._path, segments)
            else:
                for channel, each in data.items():
                    each.read_direct(pixels[channel], np.s_[first:last])
            if doubtful:
                empty |= _is_fill(pixels[""])
                if segments is not None:
                    require_sources(data[""], first, last, self._path, segments)
            counted = self._counted or {channel: _counted(file[DETECTOR], channel) for channel in data}
        if flags_of(self._path) != before or not (over or before == _RUNNING):
            # What was read while it was being closed may be anything.
            raise NotNowError(f"{self._path}: it is being closed")
        self._counted = counted
        return Batch(pixels, ~empty, counted)

    def _data(self, detector: h5py.Group) -> dict[str, h5py.Dataset]:
        """The datasets of the images, by channel."""
        names = {channel: _dataset(channel) for channel in images(self.asked.request)}
        return {channel: detector[name] for channel, name in names.items() if name in detector}

    def _room(self, channel: str, rows: int, data: h5py.Dataset) -> Pixels:
        buffer = self._buffers.get(channel)
        if buffer is None or len(buffer) < rows or buffer.shape[1:] != data.shape[1:]:
            buffer = self._buffers[channel] = np.empty((rows, *data.shape[1:]), data.dtype)
        return buffer[:rows]


def _dataset(channel: str) -> str:
    return channel or "data"


def _counted(detector: h5py.Group, channel: str) -> Counted:
    data = detector[_dataset(channel)]
    own: h5py.Group | Mapping[str, Any] = detector.get(f"{channel}_channel") or {}
    # Without a mask of its own, that of all; a link there is to that of the first image's channel.
    of_all = not channel or detector.get("pixel_mask", getlink=True, getclass=True) is h5py.HardLink
    mask = own.get("pixel_mask", detector.get("pixel_mask") if of_all else None)

    def number(name: str) -> float | None:
        return _number(own if name in own else detector, name)

    saturation, lowest = number("saturation_value"), number("underload_value")
    # A mask is of a whole image; one of another shape says nothing of this frame.
    fits = mask is not None and mask.shape == data.shape[1:]
    # Of a detector whose counts end below the type's highest number, that one is the mark of a bad pixel.
    ends = data.dtype.kind == "u" and saturation is not None and saturation < np.iinfo(data.dtype).max
    return Counted(
        mask=mask[()] == 0 if fits else None,
        saturation=saturation,
        # A detector that counts says so (0): below that there are only marks (-1 in gaps, -2 of bad pixels).
        lowest=lowest if data.dtype.kind == "i" else None,
        marks=ends and not fits,
    )


def _number(group: h5py.Group | Mapping[str, Any], name: str) -> float | None:
    found: Any = group.get(name)
    plain = found is not None and found.shape == () and found.dtype.kind in "iuf"
    return float(found[()]) if plain else None


def _empty(numbers: Pixels, first: int) -> Rows:
    """A row gets its number with its frame; until then it has none (docs/reference/file.md)."""
    rows = first + np.arange(len(numbers))
    return np.asarray(numbers == np.where(rows > 0, 0, np.uint64(NO_FRAME)))


def _missing(file: h5py.File, numbers: Pixels) -> Rows:
    """In a file that is closed, rows without a frame have a number too: that of the missing one."""
    series = file[SERIES]
    found = np.zeros(len(numbers), np.bool_)
    if "missing_frames" in series:
        for first, last in series["missing_frames"][()]:
            found |= (numbers >= first) & (numbers <= last)
    return found


def _is_doubtful(file: h5py.File) -> bool:
    """Whether such a row may have the number of a discarded frame: then it is known by its pixels."""
    series = file[SERIES]
    return bool("missing_frames" in series and len(series["missing_frames"]) and series["discarded"][()])


def _is_fill(pixels: Pixels) -> Rows:
    fill = fill_value(pixels.dtype)
    flat = pixels.reshape(len(pixels), -1)
    return np.asarray((np.isnan(flat) if pixels.dtype.kind == "f" else flat == fill).all(axis=1))
