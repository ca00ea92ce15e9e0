"""A short series and one life of a recorder that records it: what is killed at each of its writes."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import hdf5plugin
import msgspec
import numpy as np
from msgspec import UNSET
from stins_recorder.config import RecorderConfig
from stins_recorder.recording.journal import Journal
from stins_recorder.recording.recording import Recording
from stins_recorder.recording.records import RECORDS
from stins_recorder.recording.recovery import Recovery
from stins_recorder.watchdog import unwatched

from stins import Decoder, Part, SeriesHeader, SeriesInfo, SeriesSender, encode

__all__ = ["DATA", "NUMBERS", "SERIES", "ShortSeries", "image", "live"]

DATA = "/entry/instrument/detector/data"
NUMBERS = "/entry/instrument/detector/sequence_number"


class Take(NamedTuple):
    """One data message: its frame and the row of it (a discarded one has none); frames that were dropped before it."""

    frame: int
    row: int | None
    retake: bool = False
    dropped: tuple[int, int] | None = None


#: What happens in an eventful series.
_DISCARDED, _DROPPED, _RETAKE, _RETAKEN_FROM = (7, 31, 63), (40, 43), 70, 55


class ShortSeries(msgspec.Struct, frozen=True):
    """What is sent, and how often the recorder flushes (in messages); take n is a message with pixels of its own."""

    name: str
    compression: str = "none"
    known_length: bool = True
    frames_per_file: int | None = None
    eventful: bool = False
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

    @property
    def takes(self) -> list[Take]:
        """Its data messages; an eventful one has frames that are discarded, dropped, taken again."""
        if not self.eventful:
            return [Take(number, number) for number in range(self.frames)]
        first = [self._take(number) for number in range(_RETAKE) if not _DROPPED[0] <= number <= _DROPPED[1]]
        again = [self._take(number) for number in range(_RETAKEN_FROM, self.frames)]
        return [*first, again[0]._replace(retake=True), *again[1:]]

    def _take(self, number: int) -> Take:
        row = None if number in _DISCARDED else number - sum(frame < number for frame in _DISCARDED)
        return Take(number, row, dropped=_DROPPED if number == _DROPPED[1] + 1 else None)

    def rows_after(self, count: int) -> dict[int, tuple[int, set[int]]]:
        """What must be in each row after so many takes: the frame, and whose pixels (a later take's may be there)."""
        rows: dict[int, tuple[int, set[int]]] = {}
        for number, take in enumerate(self.takes[:count]):
            if take.retake:
                rows = {row: held for row, held in rows.items() if held[0] < take.frame}
            if take.row is not None:
                rows[take.row] = (take.frame, {number})
        for number, take in enumerate(self.takes[count:], count):
            if take.row in rows:
                rows[take.row][1].add(number)
        return rows

    @property
    def rows(self) -> int:
        """How many the file has in the end."""
        return self.frames - (len(_DISCARDED) if self.eventful else 0)

    @property
    def missing(self) -> list[list[int]]:
        """The ranges of frames that are listed as missing in the end."""
        return [list(_DROPPED)] if self.eventful else []

    @property
    def outcome(self) -> str:
        """What the file says of itself in the end."""
        return "incomplete" if self.eventful else "complete"

    def messages(self) -> list[list[bytes]]:
        """Start, frames, end, as they come from the wire."""
        sender = SeriesSender()
        expected = {"frames_expected": self.frames} if self.known_length else {}
        info = SeriesInfo(id="s1", source="test", filename=self.filename, **expected)
        announced = msgspec.structs.replace(self.part, compression="none")
        messages = [[encode(sender.start(SeriesHeader(series=info, data=(announced,))))]]
        for number, take in enumerate(self.takes):
            if take.dropped:
                sender.drop(*take.dropped)
            header = sender.data(
                take.frame, data=(self.part,), discard=take.row is None or UNSET, retake=take.retake or UNSET
            )
            messages.append([encode(header), stored(number, self.side, self.compression)])
        return [*messages, [encode(sender.end())]]


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
        ShortSeries("eventful", eventful=True),
        ShortSeries("eventful, compressed, segments", eventful=True, compression="bslz4", frames_per_file=_PER_FILE),
        # Frames of 32 KiB go to the disk many at a time.
        ShortSeries("many at a time", frames=60, side=128, flush_every=7),
        ShortSeries("many at a time, unknown length", known_length=False, frames=60, side=128, flush_every=7),
        # Frames of 2 MiB go to the disk in threads, past the page cache.
        ShortSeries("large frames", frames=12, side=1024, flush_every=3),
        # So do those that are larger than 1 MiB when they are compressed; HDF5 gives them their place.
        ShortSeries("large frames, compressed", compression="bslz4", frames=9, side=1900, flush_every=3),
    )
}


@cache
def image(number: int, side: int) -> "np.ndarray[Any, Any]":
    """The pixels of a take: all of them depend on its number, and they compress to a size of their own."""
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
    recovered = Recovery(config.for_writer(), unwatched).recover(journal.found, 0.0)
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
    assert recording.series.state.value == series.outcome, recording.series
    journal.close()
