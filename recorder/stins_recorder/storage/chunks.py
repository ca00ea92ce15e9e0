"""Frames of any size: HDF5 finds each chunk its place, and its index grows with every frame."""

from collections.abc import Sequence

from stins import Spans
from stins.messages import Payload

from .ahead import RoomAhead
from .datasets import FrameDatasets
from .large import LARGE_BYTES
from .pixels import PixelWriter, pixel_writer
from .runs import Run

__all__ = ["ChunkStore"]

#: Extend by blocks of about this size: an extension is a change of metadata, a frame is not.
_BLOCK_BYTES, _BLOCK_ROWS = 256 << 20, 1024
#: Cutting a dataset takes HDF5 20 ns for each chunk that could have been there: 0.02 s for what was expected and did
#: not come.
_CHUNKS_AHEAD = 1 << 20


class ChunkStore:
    """Each frame is safe when the file is flushed: HDF5 finds its place, and writes it if it is small."""

    def __init__(self, datasets: FrameDatasets, descriptor: int, expected: int, *, most: int | None = None) -> None:
        self._datasets = datasets
        self._descriptor = descriptor
        self._pixels: PixelWriter | None = None
        self._ahead = RoomAhead(descriptor, expected or most or 0)
        layout = datasets.layout
        self._expected = min(expected, _CHUNKS_AHEAD // layout.chunks_a_frame)
        self._most = most
        self._block = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // layout.frame_bytes))
        self.runs: tuple[Run, ...] = ()

    def write(self, row: int, contents: Sequence[Payload]) -> None:
        """Stores the parts of a frame; a row may be written again."""
        if row >= self._datasets.extent:
            rows = max(row + 1, self._expected)
            rows = -(-rows // self._block) * self._block
            self._datasets.extend(rows if self._most is None else min(rows, self._most))
        for part, content in enumerate(contents):
            if len(content) < LARGE_BYTES:
                self._ahead.written(row, len(content))
                self._datasets.write_part(row, part, content)
            elif (place := self._datasets.place_part(row, part, content)) is not None:
                if self._pixels is None:
                    self._pixels = self._open_writer()
                self._pixels.write(content, place)

    def _open_writer(self) -> PixelWriter:
        largest = max(dataset.chunk_bytes for dataset in self._datasets.layout.datasets)
        return pixel_writer(self._descriptor, LARGE_BYTES, largest)

    @property
    def extent(self) -> int:
        """How many rows have a place, written or not."""
        return self._datasets.extent

    @property
    def descriptors(self) -> list[int]:
        """Everything is in the file that was given."""
        return []

    def blank(self, row: int) -> None:
        """Lets a row read as missing."""
        self.flush()
        self._datasets.blank(row)

    def flush(self) -> None:
        """Waits for what is being written."""
        if self._pixels is not None:
            self._pixels.flush()

    def close(self, rows: int, hidden: Spans) -> None:  # noqa: ARG002
        """Gives back the room that was taken ahead; chunks that were not written take none."""
        self.abandon()
        self._ahead.give_back()

    def abandon(self) -> None:
        """Writes nothing any more."""
        if self._pixels is not None:
            self._pixels.close()
