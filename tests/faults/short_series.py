"""A short series and one life of a recorder that records it: what is killed at each of its writes."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import msgspec
import numpy as np
from stins_recorder.recording import Recording

from stins import Decoder, Part, SeriesHeader, SeriesInfo, SeriesReceiver, SeriesSender, encode

__all__ = ["DATA", "NUMBERS", "ShortSeries", "image", "live"]

DATA = "/entry/instrument/detector/data"
NUMBERS = "/entry/instrument/detector/sequence_number"


class ShortSeries(msgspec.Struct, frozen=True):
    """What is sent, and how often the recorder flushes (in frames)."""

    name: str
    compression: str = "none"
    known_length: bool = True
    frames_per_file: int | None = None
    frames: int = 120
    side: int = 32
    flush_every: int = 10

    @property
    def filename(self) -> str:
        """Below the root."""
        return "series.h5"

    @property
    def part(self) -> Part:
        """The one part of each frame."""
        return Part(name="image", shape=(self.side, self.side), dtype="uint16", compression=self.compression)

    def messages(self) -> list[list[bytes]]:
        """Start, frames, end, as they come from the wire."""
        sender = SeriesSender()
        expected = {"frames_expected": self.frames} if self.known_length else {}
        info = SeriesInfo(id="s1", source="test", filename=self.filename, **expected)
        messages = [[encode(sender.start(SeriesHeader(series=info, data=(self._announced,))))]]
        for number in range(self.frames):
            content = stored(number, self.side, self.compression)
            messages.append([encode(sender.data(number, data=(self.part,))), content])
        return [*messages, [encode(sender.end())]]

    @property
    def _announced(self) -> Part:
        return msgspec.structs.replace(self.part, compression="none")


@cache
def image(number: int, side: int) -> "np.ndarray[Any, Any]":
    """A frame of which every pixel depends on its number, and that compresses to a size of its own."""
    values = np.random.default_rng(number).poisson(1 + number % 7, (side, side))
    return (values + number).astype("<u2")


@cache
def stored(number: int, side: int, compression: str) -> bytes:
    """The frame as it is sent."""
    if compression == "none":
        return image(number, side).tobytes()
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("d", data=image(number, side), chunks=(side, side), **hdf5plugin.Bitshuffle())
        content: bytes = dataset.id.read_direct_chunk((0, 0))[1]
        return content


def live(series: ShortSeries, root: Path, messages: list[list[bytes]], tell: Callable[[int], object]) -> None:
    """A recorder's life until the series is over; `tell` hears after each flush how many rows are acked."""
    machine, decoder = SeriesReceiver(), Decoder()
    recording = Recording([root], machine, 0)
    for index, message in enumerate(messages):
        for instruction in machine.receive(decoder.decode(message), 0.0):
            recording.execute(instruction)
        if index and index % series.flush_every == 0:
            recording.flush()
            tell(min(index, series.frames))
    assert recording.series is not None
    assert recording.series.state.value == "complete", recording.series
    tell(series.frames)
