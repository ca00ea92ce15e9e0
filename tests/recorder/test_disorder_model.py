"""Any mixture of disorder: what the recorder writes is what the model says must be in the file."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from disorder_model import Model, Recorded
from disorder_scripts import SHAPE, Event, damaged, scripts, told
from hypothesis import HealthCheck, event, example, given, settings
from recorder_kit import DATA, NUMBERS, Disk
from stins_recorder.recording.recording import Recording
from stins_recorder.salvage.process import Order
from stins_recorder.salvage.work import salvage

from stins import Decoder, EndSeries, MessageError, ReorderWindow, SeriesReceiver
from stins.control import SeriesState, SeriesStatus
from stins.receiver import Instruction
from tests.sweeps import sweep

WINDOW = 4
GAP_S = 1.0
FILL = np.iinfo("<u2").max


class Recorder:
    """What the writer process is made of, without its sockets; time passes when it is told to."""

    def __init__(self, root: Path) -> None:
        self.accounts: list[SeriesStatus] = []
        self._now = 0.0
        self._machine = SeriesReceiver(window=ReorderWindow(count=WINDOW, timeout_s=GAP_S))
        self.disk = Disk()
        self._recording = Recording([root], self._machine, 0, watch=self.disk)
        self._decoder = Decoder()

    def take(self, parts: Sequence[bytes]) -> None:
        try:
            packet = self._decoder.decode(parts)
        except MessageError as error:
            self._execute(self._machine.refuse(error.message_id, str(error), self._now))
        else:
            self._execute(self._machine.receive(packet, self._now))

    def wait(self) -> None:
        self._now += GAP_S
        self._execute(self._machine.tick(self._now))

    def gone(self) -> None:
        self._execute(self._machine.sender_gone("the sender is gone"))

    def flush(self) -> None:
        self._recording.flush()

    @property
    def failed(self) -> bool:
        """Whether the disk has failed in the series that was opened last."""
        series = self._recording.series
        return series is not None and series.state is SeriesState.FAILED

    def _execute(self, instructions: list[Instruction]) -> None:
        for done, instruction in enumerate(instructions, 1):
            self._recording.execute(instruction, instructions[done:])
            if isinstance(instruction, EndSeries):
                assert self._recording.series is not None
                self.accounts.append(self._recording.series)


def play(events: Sequence[Event], recorder: Recorder, model: Model) -> None:
    for met in events:
        if met.kind in FAULTS:
            recorder.disk.fails |= FAULTS[met.kind]
        elif met.message is None:
            {"pause": recorder.wait, "flush": recorder.flush, "gone": recorder.gone}[met.kind]()
            {"pause": model.wait, "flush": lambda: None, "gone": model.gone}[met.kind]()
        elif met.damage:
            recorder.take(damaged(met.message, met.damage))
            if met.damage != "no header":
                model.arrive_damaged(met.message)
        else:
            recorder.take(met.message.parts)
            model.arrive(met.message)
        if met.kind == "flush" and model.series and not recorder.failed:
            model.series[-1].acked = dict(model.series[-1].written)
    recorder.gone()
    model.gone()


#: The steps in which the disk fails.
FAULTS = {"write fails": {"write"}, "flush fails": {"write", "flush"}}
FRAMES = [("frame", 1)] * 8
#: Found once, and rare: each was wrong.
REFUSED_AND_THEN_DROPPED = told([("frame", 1), ("strange", 1), ("retake", 2), ("drop", 1)], {})
LATE_BETWEEN_DISCARDED = told([("discard", 1), ("frame", 1), ("discard", 1), *FRAMES], {2: ("late", 8)})
LATE_FROM_BEFORE_A_RETAKE = told([*FRAMES, ("retake", 1), *FRAMES], {8: ("late", 7)})
DISCARDED_AND_THEN_TAKEN = told([("strange", 1), ("discard", 1), ("retake", 1), ("frame", 1)], {})
#: The end of the first series and the start of the next are lost: a frame of the next one takes the place of one that
#: was refused, without that anybody says so.
REFUSED_AND_THEN_ANOTHER_SERIES = told(
    [("frame", 1), ("frame", 1), ("strange", 1)],
    {4: ("lost", 0), 5: ("lost", 0)},
    [("frame", 1), ("drop", 1), ("frame", 1)],
)


@example(REFUSED_AND_THEN_ANOTHER_SERIES)
@example(DISCARDED_AND_THEN_TAKEN)
@example(REFUSED_AND_THEN_DROPPED)
@example(LATE_BETWEEN_DISCARDED)
@example(LATE_FROM_BEFORE_A_RETAKE)
@given(scripts())
@settings(
    max_examples=sweep(60, 2000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_what_is_recorded_is_what_the_model_says_whatever_happens_to_the_messages(events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recorder, model = Recorder(Path(folder)), Model(WINDOW)
        play(events, recorder, model)
        assert [account.series_id for account in recorder.accounts] == [series.start.series for series in model.series]
        for account, series in zip(recorder.accounts, model.series, strict=True):
            event(f"{account.state.value}, {'all' if series.knowable else 'not all'} losses can be known")
            check_account(account, series)
            check_file(account, series)


#: The frame that the others wait for cannot be written; behind it wait the end of its series, and another series.
TWELVE = [("frame", 1)] * 12
FAILS_BEFORE_ANOTHER_SERIES = told(TWELVE, {9: ("flush", 0), 10: ("write fails", 0), 11: ("late", 4)}, TWELVE)
FAILS_AT_THE_END = told([("frame", 1)] * 11, {9: ("flush", 0), 10: ("write fails", 0), 11: ("late", 2)})
FAILS_AND_CANNOT_BE_CLOSED = told([("frame", 1)] * 11, {9: ("flush", 0), 10: ("flush fails", 0), 11: ("late", 2)})
FAILS_BEHIND_A_RETAKE = told(
    [*[("frame", 1)] * 6, ("retake", 1), ("discard", 1), *[("frame", 1)] * 2], {6: ("flush fails", 0)}
)


@example(FAILS_BEHIND_A_RETAKE)
@example(FAILS_BEFORE_ANOTHER_SERIES)
@example(FAILS_AT_THE_END)
@example(FAILS_AND_CANNOT_BE_CLOSED)
@given(scripts(faults=True))
@settings(
    max_examples=sweep(20, 2000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_a_disk_that_fails_in_the_middle_of_disorder_takes_no_frame_that_was_acked(events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recorder, model = Recorder(Path(folder)), Model(WINDOW)
        play(events, recorder, model)
        assert [account.series_id for account in recorder.accounts] == [series.start.series for series in model.series]
        for account, series in zip(recorder.accounts, model.series, strict=True):
            event(account.state.value)
            if account.state is SeriesState.FAILED:
                check_failed(account, series)
            else:
                check_account(account, series)
                check_file(account, series)


def check_failed(account: SeriesStatus, series: Recorded) -> None:
    """What was acked, and not taken again since, is there for every reader."""
    acked = {number: message for number, message in series.acked.items() if series.written.get(number) is message}
    assert account.received == account.written + account.discarded + account.retaken, account
    assert account.written >= len(acked), account
    assert account.file is not None
    done = salvage(Order(account.file, account.reason, given_up=True))  # it could not be closed, perhaps
    assert done.found in ("whole", "salvaged"), done
    with h5py.File(account.file) as file:
        assert "end_time" in file["entry"]
        for row, number in enumerate(series.rows):
            if number in acked:
                np.testing.assert_array_equal(file[DATA][row], np.full(SHAPE, acked[number].serial), f"frame {number}")
                assert file[NUMBERS][row] == number


def check_account(account: SeriesStatus, series: Recorded) -> None:
    assert account.received == account.written + account.discarded + account.retaken, account
    assert account.written == len(series.written), account
    assert account.discarded == len(series.discarded), account
    assert account.retaken == series.retaken, account
    assert account.received == series.received, account
    if series.knowable:
        assert numbers_of(account.missing_frames) == sorted(series.missing), account
        assert (account.state is SeriesState.COMPLETE) == series.whole, account
    if series.start.expected is not None and not series.foreign:
        assert account.frames_expected == account.written + account.discarded + account.missing, account


def check_file(account: SeriesStatus, series: Recorded) -> None:
    assert account.file is not None
    with h5py.File(account.file) as file:
        said = file["entry/series"]
        assert {key: said[key][()] for key in ("received", "written", "discarded", "retaken", "missing")} == {
            key: getattr(account, key) for key in ("received", "written", "discarded", "retaken", "missing")
        }
        assert said["outcome"].asstr()[()] == account.state.value
        assert numbers_of(said["missing_frames"][()]) == numbers_of(account.missing_frames)
        assert "end_time" in file["entry"]
        check_rows(file[DATA][()], file[NUMBERS][()], series)


def check_rows(data: "np.ndarray[object, np.dtype[np.uint16]]", numbers: Sequence[int], series: Recorded) -> None:
    rows, written = series.rows, series.written
    last = max((row for row, number in enumerate(rows) if number in written), default=-1)
    assert last < len(data) == len(numbers), "every written frame has its row"
    for row, number in enumerate(rows[: len(data)]):
        if number in written:
            np.testing.assert_array_equal(data[row], np.full(SHAPE, written[number].serial), f"frame {number}")
            assert numbers[row] == number
        elif row not in series.touched:
            np.testing.assert_array_equal(data[row], np.full(SHAPE, FILL), f"frame {number} did not come")


def numbers_of(spans: Sequence[Sequence[int]]) -> list[int]:
    return [number for first, last in spans for number in range(first, last + 1)]
