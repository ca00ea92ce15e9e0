"""The records of the journal: what a new writer needs to go on where the one before it died. Pure values."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from stins import OpenSeries, SeriesResult, SeriesStart, encode
from stins.checkpoint import ReceiverCheckpoint
from stins.control import SeriesStatus
from stins.receiver import Instruction
from stins.series import SeriesAccount

from ..series.series_file import FileCheckpoint

__all__ = [
    "RECORDS",
    "Begun",
    "Closing",
    "Ended",
    "Point",
    "Position",
    "Record",
    "after",
    "at_end",
    "begun",
    "machine_boot",
]


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far the recording has got; `file` is None where the series has none, or none any more.

    `suspended`: the file was closed for a stop in mid-series, and forced to the disk.
    """

    series: SeriesStatus
    wanted: bool
    failure: str
    unwritten: tuple[tuple[int, int], ...]
    refused: int
    notes: tuple[str, ...]
    file: FileCheckpoint | None
    suspended: bool = False


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag="begun"):
    """A series begins; its file is about to be created. `receiver` is as it was before the series-start came."""

    start: str
    path: str | None
    machine_boot: str
    time: str
    receiver: ReceiverCheckpoint


class Point(msgspec.Struct, frozen=True, kw_only=True, tag="point"):
    """Everything that the receiver has handled is flushed."""

    receiver: ReceiverCheckpoint
    position: Position


class Closing(msgspec.Struct, frozen=True, kw_only=True, tag="closing"):
    """The series has ended, with this result; its file is about to be closed. `receiver` is as it is after that."""

    receiver: ReceiverCheckpoint
    position: Position
    result: SeriesResult


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """No series is open; `series` is what became of the one before; `gone` as in EndSeries."""

    receiver: ReceiverCheckpoint
    series: SeriesStatus | None
    gone: bool = False


Record: TypeAlias = Begun | Point | Closing | Ended
RECORDS: Final[msgspec.json.Decoder[Record]] = msgspec.json.Decoder(Record)


def begun(start: SeriesStart, path: Path | None, now: ReceiverCheckpoint) -> Begun:
    """The first record of a series; `now` is the receiver's checkpoint, which may be ahead of the start."""
    return Begun(
        start=encode(start).decode(),
        path=None if path is None else str(path),
        machine_boot=machine_boot(),
        time=datetime.now(UTC).isoformat(),
        receiver=_before(now, start),
    )


def _before(now: ReceiverCheckpoint, start: SeriesStart) -> ReceiverCheckpoint:
    """The receiver as it was before it handled this start."""
    return msgspec.structs.replace(now, next_id=start.message_id, account=None, lost=())


def after(now: ReceiverCheckpoint, start: SeriesStart) -> ReceiverCheckpoint:
    """The receiver as it was after it had handled this start, and nothing more."""
    account = SeriesAccount(start).checkpoint()
    return msgspec.structs.replace(now, next_id=start.message_id + 1, account=account, lost=())


def at_end(now: ReceiverCheckpoint, then: Sequence[Instruction]) -> ReceiverCheckpoint:
    """The receiver as it was when a series had ended; `then` are the instructions that follow the end."""
    following = next((i.start for i in then if isinstance(i, OpenSeries)), None)
    return now if following is None else _before(now, following)


def settled(receiver: ReceiverCheckpoint) -> tuple[str | None, int | None]:
    """Id of the series started last, and the highest message_id handled; None where there is none."""
    return receiver.series_id, receiver.next_id - 1 if receiver.next_id else None


def machine_boot() -> str:
    """Another one after each start of the machine: what was not forced to the disk is lost then."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
