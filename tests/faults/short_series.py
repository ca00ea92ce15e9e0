"""A short series and one life of a recorder that records it: what is killed at each of its writes."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import msgspec
import numpy as np
from stins_recorder.config import RecorderConfig
from stins_recorder.journal import Journal
from stins_recorder.recording import Recording
from stins_recorder.records import RECORDS
from stins_recorder.recovery import Recovery
from stins_recorder.watchdog import unwatched

from stins import Decoder, Part, SeriesHeader, SeriesInfo, SeriesSender, encode

__all__ = ["DATA", "NUMBERS", "SERIES", "ShortSeries", "image", "live"]

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


_PER_FILE = 25
#: Every way in which frames are stored.
SERIES = {
    series.name: series
    for series in (
        ShortSeries("known length"),
        ShortSeries("unknown length", known_length=False),
        ShortSeries("compressed", compression="bslz4"),
        ShortSeries("known length, segments", frames_per_file=_PER_FILE),
        ShortSeries("unknown length, segments", known_length=False, frames_per_file=_PER_FILE),
        ShortSeries("compressed, segments", compression="bslz4", frames_per_file=_PER_FILE),
        # Frames of 2 MiB go to the disk in threads, past the page cache.
        ShortSeries("large frames", frames=12, side=1024, flush_every=3),
    )
}


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
    """A writer's life until the series is over, without its sockets: it goes on where the one before it left off.

    `messages` is what the sender sends again, or all; `tell` hears the message_id of each ack.
    """
    config = RecorderConfig(
        roots=[root],
        sources=["tcp://127.0.0.1:1"],
        acks=["tcp://127.0.0.1:2"],
        frames_per_file=series.frames_per_file,
        reserve_bytes=0,
    )
    journal = Journal(root, config.name, RECORDS)
    recovered = Recovery(config, unwatched).recover(journal.found, 0.0)
    machine, decoder = recovered.machine, Decoder()
    recording = Recording(
        [root], machine, 0, name=config.name, journal=journal, frames_per_file=config.frames_per_file, watch=unwatched
    )
    recording.take_over(recovered)
    for number, message in enumerate(messages, 1):
        instructions = machine.receive(decoder.decode(message), 0.0)
        for done, instruction in enumerate(instructions, 1):
            recording.execute(instruction, instructions[done:])
        if number % series.flush_every == 0 or number == len(messages):
            recording.flush()
            settled = recording.safe.settled[1]
            tell(-1 if settled is None else settled)
    assert recording.series is not None
    assert recording.series.state.value == "complete", recording.series
    journal.close()
