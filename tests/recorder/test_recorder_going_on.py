"""What is made of each last word of a journal, without any process: a death is a copy of the folder."""

import os
import shutil
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest
from recorder_kit import DATA, Desk, balanced, image, wait_until
from stins_recorder.config import RecorderConfig
from stins_recorder.recording.journal import ASIDE, FOLDER, Journal, read_journal
from stins_recorder.recording.recording import Recording
from stins_recorder.recording.records import RECORDS, Begun, Closing, Ended, Point, Record
from stins_recorder.recording.recovery import Recovery

from stins.control import RecorderState, SeriesState


class Kept(Journal[Record]):
    """A journal that remembers its records."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "recorder", RECORDS, lock_wait_s=0)
        self.records: list[Record] = []
        self.on_disk = root.with_name("on_disk")

    def begin(self, record: Record) -> None:
        super().begin(record)
        self.records.append(record)

    def append(self, record: Record) -> None:
        super().append(record)
        self.records.append(record)

    def sync(self) -> None:
        super().sync()
        self.on_disk.write_bytes(self.path.read_bytes())


class Life(Desk):
    """A recorder's life; `die` leaves the folder as it was, and the next one goes on with it, and the same sender."""

    def __init__(self, root: Path, *, replay: bool = True, give_up: str = "") -> None:
        root.mkdir(exist_ok=True)
        self.journal = Kept(root)
        super().__init__(root, journal=self.journal)
        acks = ["tcp://127.0.0.1:2"] if replay else []
        config = RecorderConfig(roots=[root], sources=["tcp://127.0.0.1:1"], acks=acks)
        recovered = Recovery(config.for_writer(), lambda _step: None, give_up).recover(self.journal.found, 0.0)
        self.machine = recovered.machine
        self.recording = Recording([root], self.machine, 0, journal=self.journal)
        self.recording.take_over(recovered)
        self.ring: list[list[bytes]] = []

    def _give(self, parts: list[bytes]) -> None:
        self.ring.append(parts)
        super()._give(parts)

    def die(self, last: Record | None = None, *, replay: bool = True, give_up: str = "") -> "Life":
        """The next life; `last` was the journal's last word."""
        copy = self.root.with_name("copy")
        shutil.copytree(self.root, copy)
        self.end_of_life()
        shutil.rmtree(self.root)
        copy.rename(self.root)
        if last is not None:
            journal = Kept(self.root)
            journal.append(last)
            journal.close()
        life = Life(self.root, replay=replay, give_up=give_up)
        life._sender = self._sender
        life.ring = [*self.ring]
        return life

    def send_again(self) -> None:
        """What was not acked."""
        settled = self.recording.safe.settled[1]
        for parts in self.ring[0 if settled is None else settled + 1 :]:
            super()._give(parts)

    def end_of_life(self) -> None:
        if (file := self.recording._store.take()) is not None:
            file.abandon()
        self.journal.close()

    def last(self, kind: type[Record]) -> Record:
        return [record for record in self.journal.records if isinstance(record, kind)][-1]


def whole(path: Path, frames: int) -> None:
    with h5py.File(path) as file:
        assert file["/entry/series/outcome"].asstr()[()] == "complete"
        np.testing.assert_array_equal(file[DATA], [image(n) for n in range(frames)])


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path / "data")


# -- an open series ---------------------------------------------------------------------------------


def test_a_flushed_series_goes_on_behind_its_last_flush(life: Life) -> None:
    life.start(frames_expected=6)
    life.frames(0, 1, 2)
    life.recording.flush()
    assert life.recording.safe.settled == ("s1", 3)
    life.frames(3)
    life = life.die()
    assert (life.recording.safe.settled, life.recording.state) == (("s1", 3), RecorderState.RECORDING)
    life.send_again()
    life.frames(4, 5)
    life.end()
    assert balanced(life.account).state is SeriesState.COMPLETE
    whole(life.path, 6)
    life.end_of_life()


def test_a_series_without_a_frame_goes_on_and_its_start_is_not_acked(life: Life) -> None:
    life.start(frames_expected=2)
    life.recording.flush()
    assert life.recording.safe.settled == (None, None)
    life = life.die()
    assert life.recording.safe.settled == ("s1", None)
    life.send_again()
    life.frames(0, 1)
    life.end()
    assert (life.account.state, life.account.duplicates) == (SeriesState.COMPLETE, 1)
    whole(life.path, 2)
    life.end_of_life()


def test_a_file_that_did_not_survive_its_first_frame_is_made_anew(life: Life) -> None:
    life.start(frames_expected=2)
    life.recording.flush()
    path, armed = life.path, life.last(Point)
    life.frames(0)
    life.recording._store.file = None  # what it would still write is lost
    path.write_bytes(b"\x89HDF\r\n\x1a\n and then nothing that could be read")
    life = life.die(armed)
    assert not path.exists()
    life.send_again()
    life.frames(1)
    life.end()
    assert life.account.state is SeriesState.COMPLETE
    whole(path, 2)
    life.end_of_life()


def test_a_given_up_series_fails_and_the_rest_of_it_is_counted(life: Life) -> None:
    life.start(frames_expected=6)
    life.frames(0, 1, 2)
    life.recording.flush()
    life = life.die(give_up="it died five times")
    assert life.recording.state is RecorderState.FAULT
    assert life.recording.reason == f"{life.path}: given up: it died five times"
    assert life.recording.unclosed == life.path
    assert len(list((life.root / FOLDER).glob(f"*{ASIDE}"))) == 1
    life.frames(3, 4, 5)
    life.end()
    account = balanced(life.account)
    assert (account.state, account.written, account.missing_frames) == (SeriesState.FAILED, 3, ((3, 5),))
    life.end_of_life()


def test_a_series_that_had_failed_is_counted_on_and_its_file_left_alone(life: Life) -> None:
    life.start(frames_expected=6)
    life.frames(0, 1, 2)
    life.recording.flush()
    life = life.die(give_up="it died five times")
    life.recording.flush()
    life = life.die()
    assert (life.recording.state, life.account.state) == (RecorderState.FAULT, SeriesState.FAILED)
    life.frames(3, 4, 5)
    life.end()
    assert balanced(life.account).missing == 3
    life.end_of_life()


def test_after_a_start_of_the_machine_a_file_is_not_gone_on_with_unless_it_was_suspended(life: Life) -> None:
    for suspended, state in ((False, SeriesState.FAILED), (True, SeriesState.OPEN)):
        name = f"{suspended}.h5"
        life.start(name, id=name)
        life.frames(0, 1)
        life.recording.flush()
        if suspended:
            life.recording.suspend()
        begun, last = life.last(Begun), life.last(Point)
        assert isinstance(begun, Begun)
        life.journal.begin(msgspec.structs.replace(begun, machine_boot="another"))
        life = life.die(last)
        assert life.account.state is state
        assert ("the machine was restarted" in life.account.reason) is not suspended
        life.end()
    life.end_of_life()


def test_a_power_cut_after_a_suspended_series_went_on_takes_nothing_that_was_forced_to_the_disk(life: Life) -> None:
    life.start()
    life.frames(0, 1)
    life.recording.suspend()
    life = life.die()
    life.frames(2, 3)
    life.recording.flush()
    life.recording.sync()
    wait_until(lambda: (file := life.recording._store.file) and file.durable == 4)
    begun, last = read_journal(life.journal.on_disk, RECORDS)
    assert isinstance(begun, Begun)
    life.journal.begin(msgspec.structs.replace(begun, machine_boot="another"))
    life = life.die(last)
    assert "the machine was restarted" in life.account.reason
    assert life.recording.unclosed == life.path
    life.end_of_life()


def test_a_series_whose_name_was_refused_is_not_taken_for_the_one_before(life: Life) -> None:
    life.series("good.h5", range(2), id="good")
    life.start("../bad.h5", id="bad", frames_expected=2)
    life.frames(0)
    life.recording.flush()
    life = life.die()
    assert (life.account.series_id, life.account.state, life.account.file) == ("bad", SeriesState.FAILED, None)
    life.frames(1)
    life.end()
    assert balanced(life.account).missing == 2
    whole(life.root / "good.h5", 2)
    life.end_of_life()


# -- the beginning ----------------------------------------------------------------------------------


@pytest.mark.parametrize("replay", [True, False])
def test_a_file_that_was_being_created_goes_and_comes_again_with_its_start(life: Life, replay: bool) -> None:
    life.start(frames_expected=2)
    path = life.path
    life.journal.begin(life.last(Begun))  # there is no word behind it
    life = life.die(replay=replay)
    assert not path.exists()
    if not replay:
        assert life.account.state is SeriesState.FAILED
        assert "died while it created the file" in life.account.reason
    life.send_again()
    life.frames(0, 1)
    life.end()
    assert life.account.state is SeriesState.COMPLETE
    whole(path, 2)
    life.end_of_life()


def test_a_file_that_stood_before_the_series_began_is_not_removed(life: Life) -> None:
    life.start(frames_expected=2)
    begun = life.last(Begun)
    assert isinstance(begun, Begun)
    life.journal.begin(msgspec.structs.replace(begun, time="2999-01-01T00:00:00+00:00"))
    path = life.path
    life = life.die()
    assert path.exists()
    life.end_of_life()


# -- the end ----------------------------------------------------------------------------------------


def test_a_file_that_was_being_closed_is_closed(life: Life) -> None:
    life.start(frames_expected=3)
    life.frames(0, 1, 2)
    life.recording.flush()
    copy = life.root.with_name("before")
    shutil.copytree(life.root, copy)
    life.end()
    closing = life.last(Closing)
    life.end_of_life()
    shutil.rmtree(life.root)
    copy.rename(life.root)
    journal = Kept(life.root)
    journal.append(closing)
    journal.close()
    again = Life(life.root)
    assert (again.account.state, again.recording.state) == (SeriesState.COMPLETE, RecorderState.IDLE)
    assert again.recording.safe.settled == ("s1", 4)
    whole(life.path, 3)
    again.end_of_life()


def test_a_file_that_was_closed_is_left_as_it_is_and_what_comes_again_is_dropped(life: Life) -> None:
    life.series("a.h5", range(3), frames_expected=3)
    before = life.path.read_bytes()
    again = life.die(life.last(Closing))
    assert again.account.state is SeriesState.COMPLETE
    for parts in life.ring:
        again._give(parts)
    assert again.path.read_bytes() == before
    assert again.machine.duplicates == len(life.ring)
    again.end_of_life()


def test_a_series_that_had_ended_is_told_and_the_next_one_works(life: Life) -> None:
    life.series("a.h5", range(3), frames_expected=3)
    assert isinstance(life.journal.records[-1], Ended)
    again = life.die()
    assert (again.account.state, again.account.written, again.recording.state) == (
        SeriesState.COMPLETE,
        3,
        RecorderState.IDLE,
    )
    again.series("b.h5", range(2), id="s2")
    assert again.account.state is SeriesState.COMPLETE
    again.end_of_life()


def test_what_comes_of_a_series_that_had_ended_without_its_sender_is_not_acked_by_the_next_writer_either(
    life: Life,
) -> None:
    life.start()
    life.frames(0, 1)
    life.give_up()
    assert life.recording.safe.settled == ("s1", 2)
    life.frames(2)
    life.recording.keep()
    life = life.die()
    life.send_again()
    life.frames(3)
    life.recording.keep()
    assert (life.recording.safe.settled, life.machine.strays) == (("s1", 2), 2)
    life.end()
    assert life.recording.notes[-1] == "3 messages came with no series open"
    life.series("b.h5", range(2), id="s2")
    assert (life.recording.safe.settled, life.recording.notes) == (("s2", 9), ())
    life.end_of_life()


# -- the journal itself -----------------------------------------------------------------------------


def test_a_journal_that_fails_stops_no_series_and_nobody_goes_on_from_its_old_word(life: Life) -> None:
    life.start(frames_expected=4)
    life.frames(0, 1)
    life.recording.flush()
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, life.journal._file)
    os.close(full)
    life.frames(2)
    life.recording.flush()
    assert life.recording.safe.settled == ("s1", 3), "it is flushed, so it is acked"
    assert "if the writer dies, nobody can go on with this series" in life.recording.notes[-1]
    assert not life.journal.path.exists()
    life.frames(3)
    life.end()
    assert life.account.state is SeriesState.COMPLETE
    life.series("b.h5", range(2), id="s2")
    assert life.journal.path.exists(), "the next series has one again"
    life.end_of_life()


def test_a_stopped_series_is_closed_for_every_reader_and_goes_on(life: Life) -> None:
    life.start(frames_expected=4)
    life.frames(0, 1)
    life.recording.suspend()
    with h5py.File(life.path) as file:
        assert len(file[DATA]) == 2
    life = life.die()
    life.frames(2, 3)
    life.end()
    assert life.account.state is SeriesState.COMPLETE
    whole(life.path, 4)
    life.end_of_life()
