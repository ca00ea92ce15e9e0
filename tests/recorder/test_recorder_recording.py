"""The machine's instructions carried out on real files, without any socket."""

import re
import shutil
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from msgspec import UNSET, UnsetType
from recorder_kit import (
    DATA,
    IMAGE,
    NUMBERS,
    SHAPE,
    Desk,
    balanced,
    compressed,
    image,
    wait_until,
)
from stins_recorder.check.reader import FileReader
from stins_recorder.errors import RecorderError
from stins_recorder.recording.journal import ASIDE, FOLDER, Journal, read_journal
from stins_recorder.recording.records import RECORDS, Closing, Record

from stins import Part, Share
from stins.control import RecorderState, SeriesState
from stins.findings import Finding
from tests.file_limit import disk_full_beyond

BSLZ4 = Part(name="image", shape=IMAGE.shape, dtype="uint16", compression="bslz4")
#: A series of these reaches any limit of a few MiB soon.
BIG = Part(name="image", shape=(256, 256), dtype="uint16")


def stored(path: Path, name: str = DATA) -> "np.ndarray[object, np.dtype[np.uint16]]":
    with h5py.File(path, "r") as file:
        values: np.ndarray[object, np.dtype[np.uint16]] = file[name][()]
    return values


def series_text(path: Path, key: str) -> str:
    with h5py.File(path, "r") as file:
        return str(file[f"/entry/series/{key}"].asstr()[()])


def test_a_series_stands_in_its_file_as_it_was_sent(desk: Desk) -> None:
    desk.series("day/a.h5", range(5), frames_expected=5)
    account = balanced(desk.account)
    assert (account.state, account.reason, account.rows) == (SeriesState.COMPLETE, "", 5)
    assert account.file == str(desk.root / "day/a.h5")
    assert (account.dataset, account.shape, account.chunk_shape, account.dtype) == (DATA, (8, 12), (1, 8, 12), "<u2")
    np.testing.assert_array_equal(stored(desk.path), [image(n) for n in range(5)])
    assert series_text(desk.path, "outcome") == "complete"
    assert desk.recording.state is RecorderState.IDLE


def test_a_missing_frame_keeps_an_empty_row(desk: Desk) -> None:
    desk.start(frames_expected=4)
    desk.frames(0, 1)
    desk.lose(2)
    desk.frame(3)
    desk.give_up()
    account = balanced(desk.account)
    assert (account.state, account.missing_frames, account.rows) == (SeriesState.INCOMPLETE, ((2, 2),), 4)
    np.testing.assert_array_equal(stored(desk.path)[2], np.full(IMAGE.shape, 65535))
    np.testing.assert_array_equal(stored(desk.path)[3], image(3))
    assert stored(desk.path, "/entry/series/missing_frames").tolist() == [[2, 2]]


def test_frames_that_never_came_at_the_end_take_no_rows(desk: Desk) -> None:
    desk.start(frames_expected=1000)
    desk.frames(0, 1)
    desk.give_up("the sender has been gone")
    account = balanced(desk.account)
    assert (account.state, account.rows, account.missing_frames) == (SeriesState.INCOMPLETE, 2, ((2, 999),))
    assert stored(desk.path).shape[0] == stored(desk.path, NUMBERS).shape[0] == 2
    assert "the sender has been gone" in series_text(desk.path, "reason")


def test_a_late_frame_fills_its_hole(desk: Desk) -> None:
    messages: list[list[bytes]] = []
    give, desk._take = desk._take, messages.append
    desk.series("a.h5", range(4))
    start, *frames, end = messages
    for message in (start, frames[0], frames[2], frames[3], frames[1], end):
        give(message)
    assert balanced(desk.account).state is SeriesState.COMPLETE
    np.testing.assert_array_equal(stored(desk.path), [image(n) for n in range(4)])


def test_a_late_frame_with_retake_takes_no_row_behind_it_away(desk: Desk) -> None:
    messages: list[list[bytes]] = []
    give, desk._take = desk._take, messages.append
    desk.start(frames_expected=4)
    desk.frames(0, 1, 2, 3, retake=True)
    desk.end()
    start, *frames, end = messages
    for message in (start, frames[0], frames[2], frames[3]):
        give(message)
    for instruction in desk.machine.tick(100.0):  # the gap is given up
        desk.recording.execute(instruction)
    give(frames[1])
    give(end)
    account = balanced(desk.account)
    assert (account.written, account.rows, account.retaken) == (4, 4, 0)
    np.testing.assert_array_equal(stored(desk.path), [image(n) for n in range(4)])


def test_how_far_the_disk_has_got_is_said_also_while_no_frame_follows(desk: Desk) -> None:
    desk.start()
    desk.frames(*range(10))
    desk.recording.flush()
    desk.recording.sync()
    wait_until(lambda: desk.recording._store.file and desk.recording._store.file.durable == 10)
    desk.recording.sync()
    assert (desk.account.written, desk.account.durable) == (10, 10)
    desk.end()


def test_frames_taken_again_behind_a_discarded_one_have_rows_of_their_own(desk: Desk) -> None:
    desk.start()
    desk.frames(*range(10))
    desk.recording.flush()
    desk.recording.sync()
    wait_until(lambda: desk.recording._store.file and desk.recording._store.file.durable == 10)
    desk.frame(5, discard=True, retake=True)
    desk.recording.flush()
    assert (desk.account.rows, desk.account.durable) == (5, 5)
    desk.drop(6, 6)
    desk.frame(7, image(77).tobytes())
    desk.recording.flush()
    assert (desk.account.rows, desk.account.durable) == (7, 5)
    desk.end()
    assert balanced(desk.account).missing_frames == ((6, 6),)
    fill = np.full(SHAPE, np.iinfo("<u2").max)
    np.testing.assert_array_equal(stored(desk.path), [*(image(n) for n in range(5)), fill, image(77)])


@pytest.mark.parametrize("again", [{}, {"discard": True}], ids=["recorded", "discarded"])
def test_a_refused_frame_that_is_taken_again_is_no_longer_missing(desk: Desk, again: dict[str, bool]) -> None:
    desk.start(frames_expected=3)
    desk.frame(0)
    desk.frame(1, bytes(2), data=(Part(name="image", shape=(1, 1), dtype="uint16"),))
    desk.recording.flush()
    assert desk.account.missing_frames == ((1, 1),)
    desk.frame(1, retake=True, **again)
    desk.frame(2)
    desk.end()
    account = balanced(desk.account)
    assert (account.missing, account.written + account.discarded) == (0, 3)


@pytest.mark.parametrize("part", [IMAGE, BSLZ4], ids=["none", "bslz4"])
def test_a_frame_taken_again_takes_the_place_of_the_first(desk: Desk, part: Part) -> None:
    def frame(number: int, content: int, **values: bool) -> None:
        payload = image(content).tobytes() if part is IMAGE else compressed(content, hdf5plugin.Bitshuffle())
        desk.frame(number, payload, data=(part,), **values)

    desk.start(frames_expected=4)
    for number in range(4):
        frame(number, number)
    desk.recording.flush()
    for number in (2, 3):
        frame(number, 50 + number, retake=True)
    desk.end()
    account = balanced(desk.account)
    assert (account.state, account.retaken, account.written) == (SeriesState.COMPLETE, 2, 4)
    np.testing.assert_array_equal(stored(desk.path), [image(n) for n in (0, 1, 52, 53)])


def test_a_retake_that_is_broken_off_leaves_no_row_of_the_first_take(desk: Desk) -> None:
    desk.start()
    desk.frames(0, 1, 2, 3)
    desk.frame(1, retake=True)
    desk.end(status="aborted")
    account = balanced(desk.account)
    assert (account.rows, account.retaken, account.written) == (2, 3, 2)
    assert len(stored(desk.path)) == 2


def test_a_discarded_frame_is_counted_and_not_stored(desk: Desk) -> None:
    desk.start(frames_expected=4)
    desk.frames(0)
    desk.frames(1, 2, discard=True)
    desk.frames(3)
    desk.end()
    account = balanced(desk.account)
    assert (account.state, account.discarded, account.rows) == (SeriesState.COMPLETE, 2, 2)
    assert stored(desk.path, NUMBERS).tolist() == [0, 3]
    np.testing.assert_array_equal(stored(desk.path), [image(0), image(3)])


@pytest.mark.parametrize(("filename", "record"), [("", True), (None, True), ("a.h5", False)])
def test_a_series_without_file_is_counted(desk: Desk, filename: str | None, record: bool) -> None:
    desk.series(filename, range(3), record=record, frames_expected=3)
    account = desk.account
    assert (account.state, account.file, account.received, account.written) == (SeriesState.COMPLETE, None, 3, 0)
    assert list(desk.root.iterdir()) == []


def test_numbers_without_any_image_are_recorded(desk: Desk) -> None:
    desk.start(data=())
    desk.frames(0, 1, data=(), detector_specific={"current": 1.5})
    desk.end()
    assert balanced(desk.account).dataset is None
    assert stored(desk.path, "/entry/data/current").tolist() == [1.5, 1.5]


@pytest.mark.parametrize(
    ("values", "payload", "why"),
    [
        ({"data": (Part(name="image", shape=(8, 13), dtype="uint16"),)}, bytes(208), r"got data \[8, 13\] <u2 none"),
        ({"data": (Part(name="image", shape=(8, 12), dtype="int16"),)}, bytes(192), r"got data \[8, 12\] <i2 none"),
        ({"data": ()}, b"", "got no image"),
        ({"data": (BSLZ4,)}, compressed(1, hdf5plugin.Bitshuffle()), "bslz4"),
    ],
)
def test_a_frame_that_does_not_look_as_announced_is_refused_and_the_others_are_recorded(
    desk: Desk, values: dict[str, tuple[Part, ...]], payload: bytes, why: str
) -> None:
    desk.start(frames_expected=4)
    desk.frames(0, 1)
    desk.frame(2, *([payload] if payload else []), **values)
    desk.frame(3)
    desk.end()
    account = balanced(desk.account)
    assert (account.state, account.written, account.missing_frames) == (SeriesState.INCOMPLETE, 3, ((2, 2),))
    assert account.refused == 1
    assert re.search(f"frame 2: .*{why}", account.reason)
    np.testing.assert_array_equal(stored(desk.path)[3], image(3))
    assert stored(desk.path, "/entry/series/missing_frames").tolist() == [[2, 2]]


def test_a_jump_of_the_frame_number_costs_little_room(desk: Desk) -> None:
    desk.start()
    desk.frames(0, 10**6)
    desk.end()
    account = balanced(desk.account)
    assert (account.written, account.missing) == (2, 10**6 - 1)
    with h5py.File(desk.path) as file:
        np.testing.assert_array_equal(file[DATA][10**6], image(10**6))
    # The index has 8 bytes for each row.
    assert desk.path.stat().st_blocks * 512 < 24 << 20


@pytest.mark.parametrize("wrong", [10**9, 2**53 - 2])
def test_a_frame_number_that_cannot_be_is_refused_and_the_series_goes_on(desk: Desk, wrong: int) -> None:
    desk.start(frames_expected=2**53 - 1)
    desk.frames(0, wrong, 1)
    desk.recording.flush()
    assert desk.recording.notes[-1] == f"refused frame {wrong}: got row {wrong} after 1 rows, which is too far"
    desk.end()
    account = balanced(desk.account)
    assert (account.written, account.rows, account.missing) == (2, 2, 2**53 - 3)
    np.testing.assert_array_equal(stored(desk.path), [image(0), image(1)])


# -- refused before anything is written -----------------------------------------------------------


@pytest.mark.parametrize("filename", ["../a.h5", "/tmp/a.h5", "a b.h5", "there.h5", "there.h5/a.h5"])
def test_a_bad_path_is_refused_before_anything_is_written(desk: Desk, filename: str) -> None:
    (desk.root / "there.h5").write_text("precious")
    before = sorted(desk.root.parent.rglob("*"))
    with pytest.raises(RecorderError):
        desk.recording.prepare("s1", filename, None, None)
    desk.series(filename, range(3), frames_expected=3)
    assert sorted(desk.root.parent.rglob("*")) == before
    assert (desk.root / "there.h5").read_text() == "precious"
    account = balanced(desk.account)
    assert (account.state, account.written, account.missing) == (SeriesState.FAILED, 0, 3)
    assert desk.recording.state is RecorderState.FAULT
    assert account.reason.startswith(desk.recording.reason)
    assert repr(filename) in desk.recording.reason


def test_a_series_that_asks_for_more_room_than_there_is_is_refused(desk: Desk) -> None:
    with pytest.raises(
        RecorderError, match=r"free, expected 1,000,000,000\.0 GB for the series and 0\.0 MB that every"
    ):
        desk.recording.prepare("s1", "a.h5", 10**9, 10**9)


def test_while_a_series_is_recorded_no_other_is_prepared(desk: Desk) -> None:
    desk.start()
    with pytest.raises(RecorderError, match="a series is being recorded"):
        desk.recording.prepare("s2", "b.h5", None, None)
    desk.end()
    desk.recording.prepare("s2", "b.h5", None, None)
    assert (desk.recording.state, desk.recording.prepared) == (RecorderState.READY, "s2")


# -- the disk fails -------------------------------------------------------------------------------


def fill(desk: Desk, limit: int, flush_every: int = 4) -> None:
    """Sends big frames until the file has reached its limit and the write has failed."""
    with disk_full_beyond(limit):
        for number in range(100):
            desk.frame(number, image(number, BIG.shape).tobytes(), data=(BIG,))
            if number % flush_every == 0:
                desk.recording.flush()
            if desk.recording.state is RecorderState.FAULT:
                return
    raise AssertionError("the disk was never full")


def test_a_write_that_fails_ends_the_file_and_keeps_what_was_written(desk: Desk) -> None:
    desk.start(data=(BIG,))
    fill(desk, 8 << 20)
    failed = balanced_open(desk)
    assert (failed.state, desk.recording.state) == (SeriesState.FAILED, RecorderState.FAULT)
    assert str(desk.path) in desk.recording.reason
    frames = stored_swmr(desk.path)
    assert 15 < failed.written == failed.rows <= len(frames)
    np.testing.assert_array_equal(frames[: failed.rows], [image(n, BIG.shape) for n in range(failed.rows)])
    desk.frame(failed.written + 1, image(0, BIG.shape).tobytes(), data=(BIG,))
    desk.end(status="aborted")
    account = balanced(desk.account)
    assert (account.state, account.written, account.missing) == (SeriesState.FAILED, failed.written, 2)


@pytest.mark.parametrize("share", [UNSET, Share(index=1, count=3)], ids=["all frames", "a share"])
def test_a_file_that_is_closed_in_mid_series_says_of_each_frame_to_come_that_it_is_missing(
    desk: Desk, share: "Share | UnsetType"
) -> None:
    desk.start(frames_expected=8, share=share)
    own = [number if share is UNSET else share.frame(number) for number in range(8)]
    desk.frames(own[0], own[1])
    desk.frame(own[2], discard=True)
    desk.frames(own[4])
    desk.give_up_gaps()
    desk.disk.fails.add("flush")
    desk.recording.flush()
    assert (desk.account.state, desk.account.written) == (SeriesState.FAILED, 3)
    with h5py.File(desk.path) as file:
        series = file["/entry/series"]
        keys = ("frames_expected", "received", "written", "discarded", "missing")
        assert [int(series[key][()]) for key in keys] == [8, 4, 3, 1, 4]
        np.testing.assert_array_equal(series["missing_frames"], [[own[3], own[3]], [own[5], own[7]]])
    found: list[object] = []
    FileReader(desk.path, found.append, decode=True).run()
    assert {line.rule for line in found if isinstance(line, Finding)} == {"frames.incomplete"}
    desk.frames(*own[5:])
    desk.end()
    assert (desk.account.written, desk.account.discarded, desk.account.missing) == (3, 1, 4)


@pytest.mark.parametrize("share", [UNSET, Share(index=1, count=3)], ids=["all frames", "a share"])
def test_the_reason_of_a_failed_series_says_how_many_frames_are_missing_in_all(
    desk: Desk, share: "Share | UnsetType"
) -> None:
    desk.start(frames_expected=8, share=share)
    own = [number if share is UNSET else share.frame(number) for number in range(8)]
    desk.frames(own[0], own[1])
    desk.disk.fails.add("flush")
    desk.recording.flush()
    desk.frames(own[2], own[3])
    desk.end(status="aborted", reason="enough")
    # Four were never sent, two could not be written.
    assert desk.account.missing == 6
    assert re.findall("([0-9]+) frames are missing", desk.account.reason) == ["6"]
    assert desk.account.sender_reason == "enough"


def test_what_salvage_is_to_say_of_a_file_that_could_not_be_closed_in_mid_series_adds_up_too(tmp_path: Path) -> None:
    journal: Journal[Record] = Journal(tmp_path, "recorder", RECORDS)
    desk = Desk(tmp_path, journal=journal)
    desk.start(frames_expected=8)
    desk.frames(0, 1)
    desk.disk.fails |= {"flush", "close"}
    desk.recording.flush()
    (aside,) = (tmp_path / FOLDER).glob(f"*{ASIDE}")
    last = read_journal(aside, RECORDS)[-1]
    assert isinstance(last, Closing)
    assert (last.position.series.missing, last.result.missing) == (6, ((2, 7),))


def balanced_open(desk: Desk) -> object:
    account = desk.account
    assert account.received == account.written + account.discarded + account.retaken, account
    return account


def stored_swmr(path: Path) -> "np.ndarray[object, np.dtype[np.uint16]]":
    with h5py.File(path, "r", libver="latest", swmr=True, locking=False) as file:
        values: np.ndarray[object, np.dtype[np.uint16]] = file[DATA][()]
    return values


def test_a_data_file_that_is_removed_is_a_fault_that_names_it_and_the_next_series_works(tmp_path: Path) -> None:
    desk = Desk(tmp_path, frames_per_file=3)
    desk.start("a.h5", frames_expected=8)
    desk.frames(*range(7))
    (tmp_path / "a_data_000001.h5").unlink()
    desk.frames(7)
    desk.end()
    assert (balanced(desk.account).state, desk.recording.state) == (SeriesState.FAILED, RecorderState.FAULT)
    assert "a_data_000001.h5: the file or its folder is gone" in desk.recording.reason
    with h5py.File(tmp_path / "a_data_000002.h5") as file:
        np.testing.assert_array_equal(file["/entry/data/data"], [image(number) for number in (3, 4, 5)])
    desk.series("b.h5", range(7))
    assert desk.account.state is SeriesState.COMPLETE


def test_after_a_failed_disk_the_next_series_works(desk: Desk) -> None:
    desk.start(data=(BIG,))
    fill(desk, 4 << 20)
    desk.recording.prepare("s2", "b.h5", None, None)
    desk.end()
    assert desk.recording.state is RecorderState.READY, "the end of the failed series takes nothing from the next"
    desk.series("b.h5", range(3), id="s2")
    assert balanced(desk.account).state is SeriesState.COMPLETE
    np.testing.assert_array_equal(stored(desk.path), [image(n) for n in range(3)])


def test_a_reset_in_the_middle_of_a_failed_series_makes_it_no_success(desk: Desk) -> None:
    desk.start(data=(BIG,), frames_expected=100)
    fill(desk, 4 << 20)
    desk.recording.reset()
    written = desk.account.written
    desk.frame(99, image(99, BIG.shape).tobytes(), data=(BIG,))
    desk.end()
    account = balanced(desk.account)
    assert (account.state, account.written) == (SeriesState.FAILED, written)
    assert desk.recording.state is RecorderState.IDLE


def test_a_flush_that_fails_takes_back_what_was_not_flushed(desk: Desk) -> None:
    # Columns are written at the flush: the frames themselves are there already when it fails.
    desk.start(data=())
    desk.frames(0, data=(), detector_specific={"n": 0})
    desk.recording.flush()
    with disk_full_beyond(desk.path.stat().st_size):
        desk.frames(*range(1, 3000), data=(), detector_specific={"n": 1})
        desk.recording.flush()
        desk.end()
    account = balanced(desk.account)
    assert (account.state, account.written, account.missing_frames) == (SeriesState.FAILED, 1, ((1, 2999),))


def test_a_close_that_fails_is_a_fault(desk: Desk) -> None:
    desk.start()
    desk.frames(0, 1)
    shutil.rmtree(desk.root)
    desk.end()
    account = balanced(desk.account)
    assert (account.state, desk.recording.state) == (SeriesState.FAILED, RecorderState.FAULT)
    assert "the file or its folder is gone" in account.reason


def test_a_folder_that_vanishes_before_the_series_starts_is_a_fault(desk: Desk) -> None:
    desk.recording.prepare("s1", "a.h5", None, None)
    desk.root.rmdir()
    desk.series("a.h5", range(2))
    assert balanced(desk.account).state is SeriesState.FAILED
    assert f"the root {desk.root} is gone" in desk.recording.reason
    assert not desk.root.exists()


def test_a_series_stops_before_the_reserve_is_used_up(desk: Desk) -> None:
    free = desk.recording.free_bytes()
    tight = Desk(desk.root, reserve_bytes=free * 2)
    tight.series("a.h5", range(2))
    assert balanced(tight.account).state is SeriesState.FAILED
    assert "a.h5: too little room on the disk: " in tight.account.reason


@pytest.mark.parametrize("another", [False, True], ids=["nothing follows", "another series follows"])
def test_a_frame_that_others_wait_for_and_that_cannot_be_written_takes_none_of_those_before_it(
    desk: Desk, another: bool
) -> None:
    messages: list[list[bytes]] = []
    give, desk._take = desk._take, messages.append
    desk.series("a.h5", range(12), frames_expected=12)
    desk.start("b.h5", id="s2")
    desk.frame(0)
    for message in messages[:11]:
        give(message)
    desk.recording.flush()
    for message in messages[12 : 16 if another else 14]:
        give(message)
    desk.disk.fails = {"write"}
    give(messages[11])
    with h5py.File(desk.root / "a.h5") as file:
        assert (file["entry/series/outcome"].asstr()[()], file["entry/series/written"][()]) == ("failed", 10)
        np.testing.assert_array_equal(file[DATA][:10], [image(n) for n in range(10)])
    if another:
        desk._take = give
        desk.end()
        assert (desk.account.series_id, desk.account.state) == ("s2", SeriesState.COMPLETE)
