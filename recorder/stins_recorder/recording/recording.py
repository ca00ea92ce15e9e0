"""Carries out the receiver machine's instructions on files; what fails becomes a state."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import UNSET

from stins import (
    DiscardFrame,
    EndSeries,
    OpenSeries,
    Packet,
    Report,
    SeriesInfo,
    SeriesReceiver,
    SeriesResult,
    StoreFrame,
)
from stins.checkpoint import ReceiverCheckpoint
from stins.control import NumbersRequest, RecorderState, SeriesState, SeriesStatus
from stins.numbers import problem_with
from stins.receiver import Instruction
from stins.series import SeriesAccount

from ..errors import RecorderError, StorageError
from ..pixels.cbf import unpacked
from ..pixels.masks import masks_of
from ..watchdog import unwatched
from .account import closing, line, unbalanced
from .journal import Journal
from .records import Closing, Record, at_end
from .recovery import Recovered
from .room import Room
from .safekeeping import Safekeeping
from .store import Store
from .tally import Tally

__all__ = ["Recording"]

log = logging.getLogger(__name__)


class Recording:
    """The state of the recorder: which series is open, in which file, how far it has got.

    A frame that came and could not be written (it looks wrong, the disk failed, a flush failed) is missing, not
    received: received = written + discarded + retaken holds for every series with a file.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        machine: SeriesReceiver,
        reserve_bytes: int,
        *,
        name: str = "recorder",
        journal: "Journal[Record] | None" = None,
        frames_per_file: int | None = None,
        watch: Callable[[str], None] = unwatched,
    ) -> None:
        self._machine = machine
        self._tally = Tally()
        self._room = Room(roots, reserve_bytes, name, watch)
        self.safe = Safekeeping(journal, machine, self._note, watch=watch)
        self._store = Store(roots, self._room, self.safe, frames_per_file=frames_per_file, watch=watch)
        self.state = RecorderState.IDLE
        self.reason = ""
        self.prepared: str | None = None
        self.last_stored: StoreFrame | None = None
        # For the preview. A series that another writer began has none here: its reader has them.
        self.masks: Packet | None = None
        self.dirty = False
        self._asked: tuple[str | None, NumbersRequest | None] = (None, None)
        # The file is to be let go of, as soon as there is an account that goes no further than what was carried out.
        self._broken = False

    @property
    def series(self) -> SeriesStatus | None:
        """The published account of the series that was opened last."""
        return self._tally.series

    @property
    def notes(self) -> tuple[str, ...]:
        """What a human should read about it."""
        # The first is noted as it comes; how many there are is known later.
        strays = self._machine.strays
        return self._tally.notes if strays < 2 else (*self._tally.notes, f"{strays} messages came with no series open")

    @property
    def unflushed_bytes(self) -> int:
        """What was written since the last flush."""
        return self._tally.unflushed_bytes

    @property
    def unclosed(self) -> Path | None:
        """A file that had to be left as it was, without its end."""
        return self._store.unclosed

    # -- control --------------------------------------------------------------------------------

    def prepare(
        self,
        series_id: str,
        filename: str | None,
        frames: int | None,
        frame_bytes: int | None,
        *,
        numbers: NumbersRequest | None = None,
    ) -> None:
        """Checks path, room and journal for a series to come; leaves FAULT. `numbers` are asked for of its frames.

        Raises:
            RecorderError: busy, the path is refused, there is no room, or another recorder of that name writes there.
        """
        if self.state is RecorderState.RECORDING:
            raise RecorderError("a series is being recorded; end it first (disarm the acquirer, or /stop)")
        if numbers is not None and (problem := problem_with(numbers)):
            raise RecorderError(f"numbers: {problem}")
        if filename:
            self._room.check(
                self._store.place(filename, numbers=numbers is not None), (frames or 0) * (frame_bytes or 0)
            )
        self.safe.hold()
        self.state, self.reason, self.prepared = RecorderState.READY, "", series_id
        self.expect(series_id, numbers)

    def expect(self, series_id: str, numbers: NumbersRequest | None) -> None:
        """Of a series to come, which numbers of its frames are asked for."""
        self._asked = (series_id, numbers)

    def reset(self) -> None:
        """Leaves FAULT and READY."""
        if self.state is not RecorderState.RECORDING:
            self.state, self.reason, self.prepared = RecorderState.IDLE, "", None

    def free_bytes(self) -> int:
        """Room on the file system of the first root.

        Raises:
            StorageError: it does not say.
        """
        return self._room.free_bytes()

    # -- instructions ---------------------------------------------------------------------------

    def execute(self, instruction: Instruction, then: Sequence[Instruction] = ()) -> None:
        """Does what the machine says; a failure becomes a state, never an exception.

        `then` are the instructions that came with it and are still to be carried out: the machine is ahead by them. So
        a file that fails among them is let go of behind the last one, or at the end of its series if that comes first.
        """
        kind = type(instruction)
        if kind is StoreFrame:
            self._put(instruction)  # type: ignore[arg-type]  # known by `kind`, the fastest test there is
        elif isinstance(instruction, OpenSeries):
            self._open(instruction)
        elif isinstance(instruction, EndSeries):
            self._end(instruction, at_end(self._machine.checkpoint(), then))
        elif isinstance(instruction, DiscardFrame):
            self.dirty = True
            if instruction.rewound:
                self._rewind(instruction)
        elif isinstance(instruction, Report):
            log.warning("%s: %s", instruction.kind, instruction.text)
            self._tally.note(instruction.text)
        if self._broken and not then:
            self._let_go(self._machine.account())
            self.keep()

    def _open(self, instruction: OpenSeries) -> None:
        start = instruction.start
        info = SeriesInfo() if start.series is UNSET else start.series
        series_id = info.id or None
        series = SeriesStatus(series_id=series_id, state=SeriesState.OPEN, share=info.share or None)
        self._tally = Tally(series, wanted=start.recorded)
        self.state, self.reason, self.prepared = RecorderState.RECORDING, "", None
        self.last_stored, self.dirty, self._broken = None, True, False
        self.masks = masks_of(instruction)
        numbers = self._asked[1] if self._asked[0] == series_id else None
        try:
            self._store.open(instruction, numbers)
        except RecorderError as error:
            self._fault(str(error))
            self._let_go(None)
        if numbers is not None and self._store.file is not None:
            self._tally.asked()
        # Not the machine's account, which may be ahead: nothing of this series has come yet.
        self._refresh(SeriesAccount(start).snapshot())
        file = self._store.file
        self.safe.created(start, self._tally.position(file))
        log.info("series %s: %s", series_id, file.path if file else "no file")

    def _put(self, instruction: StoreFrame) -> None:
        self.dirty = True
        store, tally = self._store, self._tally
        file = store.file
        if instruction.rewound:
            tally.rewound(instruction.header.frame_number)
        if file is None or self._broken:
            if tally.wanted:
                tally.skipped(instruction)
            else:
                self.last_stored = instruction
            return
        try:
            frame = unpacked(instruction)
            size_bytes = sum(map(len, frame.packet.payload))
            file.write(frame)
            tally.stored(instruction, size_bytes)
            self.last_stored = instruction
            store.written(size_bytes)
        except StorageError as error:
            if self.last_stored is not instruction:
                tally.skipped(instruction)
            self._fault(str(error))
            self._broken = True
        except RecorderError as error:
            tally.refused(instruction, str(error))

    def _rewind(self, instruction: DiscardFrame) -> None:
        """What is taken again is in the file, and this take of it will not be."""
        self._tally.rewound(instruction.header.frame_number)
        if self._store.file is not None and not self._broken:
            self._store.file.rewind(instruction.row)

    def flush(self) -> None:
        """Flushes what was written, brings the account up to date and notes how far the series has got."""
        self.dirty = False
        self._flush()
        self._refresh()
        self.keep()

    def sync(self) -> None:
        """Begins to force to the disk what is flushed; at the next one the account says how far that has got."""
        try:
            self._store.sync()
            self._tally.forced(self._store.file)
        except StorageError as error:
            self._fail(error)
            # Else whoever salvages the file would think that somebody goes on with it.
            self.keep()

    def keep(self) -> None:
        """Notes in the journal how far the series has got; to be called when everything is flushed."""
        series = self._tally.series
        if series is not None and self._machine.account() is not None:
            self.safe.point(self._tally.position(self._store.file))
        else:
            self.safe.ended(self._machine.checkpoint(), series)

    def _flush(self, result: SeriesResult | None = None) -> None:
        try:
            self._store.flush()
            self._tally.flushed()
        except StorageError as error:
            self._fail(error, result)

    # -- the end --------------------------------------------------------------------------------

    def _end(self, instruction: EndSeries, receiver: ReceiverCheckpoint) -> None:
        result = instruction.result
        if self._broken:
            self._let_go(result)
        self._flush(result)
        self._refresh(result)
        self._tally.settle(*self._tally.outcome(result))
        self._check_sums()
        file = self._store.file
        if file is not None:
            self.safe.closing(receiver, self._tally.position(file), self._tally.final(result))
            self._close(result, receiver)
        if self.state is RecorderState.RECORDING:
            self.state = RecorderState.IDLE
        self.dirty = False
        self.safe.ended(receiver, self._tally.series, gone=instruction.gone)
        log.info("%s", line(self._tally.series) if self._tally.series else "a series ended")

    def _close(self, result: SeriesResult, receiver: ReceiverCheckpoint) -> None:
        file = self._store.take()
        assert file is not None  # noqa: S101  # whoever calls has looked
        position, final = self._tally.position(file), self._tally.final(result)
        try:
            # In mid-series the published account still goes on, and that of the file does not.
            file.close(final, closing(self._tally.ended(final)))
            self._tally.closed()
        except StorageError as error:
            self._fault(str(error))
            self._tally.settle(SeriesState.FAILED, (self._tally.failure, *result.reasons))
            # Salvage may find nothing wrong any more, and it is to say the same in the file.
            position = msgspec.structs.replace(position, series=self._tally.ended(final))
            self._store.leave(file.path, Closing(receiver=receiver, position=position, result=final))

    def suspend(self) -> None:
        """A stop in mid-series: the file is closed so that anybody can read it, and the journal says how to go on."""
        self._flush()
        self._refresh()
        try:
            self._store.suspend()
        except StorageError as error:
            self._fault(str(error))
        if self._tally.series is not None and self._machine.account() is not None:
            self.safe.suspended(self._tally.position(self._store.file, suspended=True))
        self._store.take()

    def _note(self, text: str) -> None:
        self._tally.note(text)

    # -- going on -------------------------------------------------------------------------------

    def take_over(self, recovered: Recovered) -> None:
        """Goes on with the series that another writer began; a file that cannot be gone on with fails it."""
        self._tally, self.safe.settled, self.safe.gone = recovered.tally, recovered.settled, recovered.gone
        failure = self._tally.failure
        self.dirty = True
        if self._machine.account() is not None:
            self.state, self.reason = (RecorderState.FAULT if failure else RecorderState.RECORDING), failure
        try:
            self._store.take_over(recovered.file)
            if recovered.failure and recovered.path is not None:
                self._store.leave(recovered.path)
                self._fail(RecorderError(recovered.failure))
        except StorageError as error:
            self._fail(error)
        self._refresh()
        if recovered.suspended:
            self.safe.resumed(self._tally.position(self._store.file))

    # -- failures -------------------------------------------------------------------------------

    def _fail(self, error: RecorderError, result: SeriesResult | None = None) -> None:
        """Storage failed, and nothing is left to be carried out before `result`, or the machine's account."""
        self._fault(str(error))
        self._let_go(result or self._machine.account())

    def _let_go(self, result: SeriesResult | None) -> None:
        """What was flushed is kept, the file is closed now with this account, the rest of the series is counted."""
        self._broken = False
        if self._store.file is not None:
            self._save(result)
        self._store.take()
        self._tally.settle(SeriesState.FAILED, (self._tally.failure,))

    def _save(self, result: SeriesResult | None) -> None:
        """One last flush: if it fails, HDF5 is not asked for anything more, and what was not flushed is not written.

        Without an account nobody knows which of its rows count: the file is left for the salvage, which does.
        """
        self._room.release()
        try:
            self._store.flush()
        except StorageError as error:
            log.warning("%s", error)
            self._tally.flush_failed()
            self._abandon()
        else:
            self._tally.flushed()
        self._refresh(result)
        self._tally.settle(SeriesState.FAILED, (self._tally.failure,))
        if result is None:
            self._abandon()
        elif self._store.file is not None:
            self._close(result, self._machine.checkpoint())

    def _abandon(self) -> None:
        if file := self._store.take():
            self._store.abandon(file)

    def _fault(self, reason: str) -> None:
        log.error("%s", reason)
        self._tally.failure = self._tally.failure or reason
        self.state, self.reason = RecorderState.FAULT, self._tally.failure

    def _check_sums(self) -> None:
        """An account that does not add up is an error of ours, and must not pass for a good one."""
        series = self._tally.series
        if series is not None and series.file is not None and (problem := unbalanced(series)):
            self._fault(f"the account of series {series.series_id} does not add up: {problem}; please report it")

    def _refresh(self, result: SeriesResult | None = None) -> None:
        result = result or self._machine.account()
        if result is not None:
            self._tally.count(result, self._store.file)
