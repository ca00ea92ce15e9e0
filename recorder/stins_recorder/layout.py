"""Which dataset each part of a frame goes to, and where in it. Pure values."""

from collections.abc import Sequence
from math import prod

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from stins import FrameLayout, Part
from stins.messages import SERIES_ARRAYS, Acquisition, Detector

from .errors import RecorderError

__all__ = ["DatasetLayout", "FrameWriterLayout", "describe", "frame_layout"]

#: HDF5's registered numbers of the filters whose chunks STINS carries as they are.
FILTERS = {"none": None, "bslz4": 32008, "lz4": 32004}
#: numpy's codes: everything on the wire is little-endian.
_DTYPES = {
    "uint8": "|u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8",
    "int8": "|i1", "int16": "<i2", "int32": "<i4", "int64": "<i8",
    "float32": "<f4", "float64": "<f8",
}  # fmt: skip
#: What else stands in the NXdetector group.
_RESERVED = (
    {"data", "sequence_number", "timestamp", "acquisition_timestamp", "gain_setting", "local_name"}
    | {"frame_specific", "detector_specific", "detector_specific_end"}
    | {"transformations", "module", "depends_on", "distance_derived", "countrate_correction_lookup_table"}
    | {"start_time", "stop_time", "real_time"}
    | SERIES_ARRAYS
    | {field.name for kind in (Detector, Acquisition) for field in msgspec.structs.fields(kind)}
)


class DatasetLayout(msgspec.Struct, frozen=True):
    """One dataset of frames: `shape` and `chunks` without the frame axis."""

    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    compression: str

    @property
    def filter(self) -> int | None:
        """The HDF5 filter of its chunks."""
        return FILTERS[self.compression]

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks one frame has along each axis."""
        return tuple(-(-side // chunk) for side, chunk in zip(self.shape, self.chunks, strict=True))

    @property
    def chunks_a_frame(self) -> int:
        """How many chunks one frame has."""
        return prod(self.grid)

    @property
    def chunk_bytes(self) -> int:
        """The size of a chunk that is not compressed."""
        return prod(self.chunks) * np.dtype(self.dtype).itemsize


class FrameWriterLayout(msgspec.Struct, frozen=True):
    """The datasets of a frame; part i goes to `datasets[targets[i]]` at chunk offset `offsets[i]`."""

    datasets: tuple[DatasetLayout, ...]
    targets: tuple[int, ...]
    offsets: tuple[tuple[int, ...], ...]

    @property
    def chunks_a_frame(self) -> int:
        """How many chunks one frame has, in the dataset that has most."""
        return max((dataset.chunks_a_frame for dataset in self.datasets), default=1)

    @property
    def frame_bytes(self) -> int:
        """The size of a frame that is not compressed."""
        return sum(dataset.chunks_a_frame * dataset.chunk_bytes for dataset in self.datasets)

    @property
    def fixed(self) -> bool:
        """Whether every chunk of every frame is written, and all are of one size: then its place can be had before."""
        whole = len(self.targets) == sum(dataset.chunks_a_frame for dataset in self.datasets)
        return whole and all(dataset.filter is None for dataset in self.datasets)


def frame_layout(parts: Sequence[Part], frame: FrameLayout | UnsetType) -> FrameWriterLayout:
    """The layout of a frame; a frame in several parts is one dataset, parts without a common frame are one each.

    Raises:
        RecorderError: a part that cannot be stored as it is.
    """
    for part in parts:
        if part.dtype not in _DTYPES or part.compression not in FILTERS:
            raise RecorderError(
                f"part {part.name!r}: cannot record dtype {part.dtype!r} with compression {part.compression!r}; "
                f"expected one of {sorted(_DTYPES)} with one of {sorted(FILTERS)}"
            )
    if frame is not UNSET:
        return _one_dataset(parts, frame)
    datasets = tuple(
        DatasetLayout(name, part.shape, part.shape, _DTYPES[part.dtype], part.compression)
        for name, part in zip(_names(parts), parts, strict=True)
    )
    return FrameWriterLayout(datasets, tuple(range(len(parts))), tuple((0,) * len(part.shape) for part in parts))


def _names(parts: Sequence[Part]) -> list[str]:
    """The first part is the default plot; another keeps its name, if NXdetector doesn't need it for something else."""
    names = ["data"] if parts else []
    for part in parts[1:]:
        name = part.name
        while name in _RESERVED or name in names or name.endswith("_channel"):
            name += "_"
        names.append(name)
    return names


def _one_dataset(parts: Sequence[Part], frame: FrameLayout) -> FrameWriterLayout:
    kinds = {(part.dtype, part.compression) for part in parts}
    if len(kinds) != 1:
        raise RecorderError(f"parts of one frame differ in dtype or compression: {sorted(kinds)}; expected one kind")
    dtype, compression = kinds.pop()
    dataset = DatasetLayout("data", frame.shape, frame.chunks, _DTYPES[dtype], compression)
    offsets = tuple(part.offset or (0,) * len(frame.shape) for part in parts)
    return FrameWriterLayout((dataset,), (0,) * len(parts), offsets)


def describe(layout: FrameWriterLayout) -> str:
    """The layout in words, for an error."""
    kinds = ", ".join(f"{d.name} {list(d.shape)} {d.dtype} {d.compression}" for d in layout.datasets)
    parts = f" in {len(layout.targets)} parts at {list(map(list, layout.offsets))}" if len(layout.targets) > 1 else ""
    return kinds + parts or "no image"
