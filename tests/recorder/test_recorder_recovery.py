"""A recorder that dies in mid-series, and goes on with it: nothing is lost with acks, and without them it is said."""

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import psutil
import pytest
from recorder_kit import DATA, NUMBERS, SHAPE, Chain, RecorderProcess, balanced, compressed, image

from stins import Part, RemoteError
from stins.control import PrepareRequest, RecorderState, RecorderStatus, SeriesState

StartChain = Callable[..., Chain]
BSLZ4 = Part(name="image", shape=SHAPE, dtype="uint16", compression="bslz4")


def kill_writer(chain: Chain) -> int:
    """Kills it; the process that there was."""
    pid = chain.recorder.wait_for(lambda s: s.writer_pid).writer_pid
    assert pid is not None
    psutil.Process(pid).kill()
    return pid


def another_than(pid: int) -> Callable[[RecorderStatus], object]:
    return lambda s: s.writer_pid not in (None, pid) and s.state is not RecorderState.RECOVERING


def whole(path: Path, frames: int) -> None:
    """The file has these frames, in order and as they were sent, and its end."""
    with h5py.File(path) as file:
        assert "end_time" in file["entry"]
        assert file["/entry/series/outcome"].asstr()[()] == "complete"
        np.testing.assert_array_equal(file[NUMBERS], np.arange(frames))
        np.testing.assert_array_equal(file[DATA], [image(n) for n in range(frames)])


def send(chain: Chain, first: int, last: int, *, bslz4: bool = False) -> None:
    for number in range(first, last):
        if bslz4:
            chain.frame(number, compressed(number, hdf5plugin.Bitshuffle()), data=(BSLZ4,))
        else:
            chain.frame(number)


@pytest.mark.parametrize("bslz4", [False, True], ids=["uncompressed", "bslz4"])
def test_a_killed_writer_loses_nothing_that_was_sent_by_one_who_sends_again(
    start_chain: StartChain, bslz4: bool
) -> None:
    chain = start_chain(replay=True)
    chain.start("killed.h5", id="killed", frames_expected=400)
    send(chain, 0, 100, bslz4=bslz4)
    chain.flushed(50)
    live, pid = chain.recorder.status.live, kill_writer(chain)
    send(chain, 100, 200, bslz4=bslz4)
    assert chain.serve(another_than(pid)).live == live, "its viewers find it again"
    assert chain.recorder.status.series is not None
    assert chain.recorder.status.series.state is SeriesState.OPEN
    send(chain, 200, 300, bslz4=bslz4)
    kill_writer(chain)
    send(chain, 300, 400, bslz4=bslz4)
    chain.end()
    account = chain.serve_to_end()
    assert (account.state, account.written, account.missing, account.reason) == (SeriesState.COMPLETE, 400, 0, "")
    whole(chain.root / "killed.h5", 400)
    status = chain.serve(lambda s: s.state is RecorderState.IDLE)
    assert (status.restarts, status.reason) == (2, "")
    assert any("died: signal SIGKILL" in note for note in status.notes)


def test_a_writer_that_was_killed_is_followed_at_once_by_one_that_records(start_chain: StartChain) -> None:
    chain = start_chain(replay=True)
    chain.start("back.h5", id="back")
    send(chain, 0, 10)
    chain.flushed(10)
    pid, killed = kill_writer(chain), time.monotonic()
    chain.serve(another_than(pid))
    # benchmarks/kill_sweep.py fails above 2 s. Here other tests share the machine, and the limit is for waits that are
    # none of its: what is waited for is a pause, or libraries that are loaded again and again.
    assert time.monotonic() - killed < 15
    assert "another is started at once" in chain.recorder.log
    send(chain, 10, 20)
    chain.flushed(20)
    chain.end()
    assert chain.serve_to_end().state is SeriesState.COMPLETE


def test_a_writer_killed_before_the_first_frame_goes_on(start_chain: StartChain) -> None:
    chain = start_chain(replay=True)
    chain.start("armed.h5", id="armed", frames_expected=5)
    chain.serve(lambda s: s.state is RecorderState.RECORDING and s.series)
    chain.serve(another_than(kill_writer(chain)))
    chain.frames(*range(5))
    chain.end()
    assert chain.serve_to_end().state is SeriesState.COMPLETE
    whole(chain.root / "armed.h5", 5)


def test_without_acks_the_frames_that_were_under_way_are_declared_missing(start_chain: StartChain) -> None:
    chain = start_chain(order={"gap_timeout_s": 0.3})
    chain.start("plain.h5", id="plain", frames_expected=30)
    chain.frames(*range(10))
    chain.flushed(10)
    pid = kill_writer(chain)
    chain.lose(10)
    chain.recorder.wait_for(another_than(pid))
    chain.frames(*range(11, 30))
    chain.end()
    account = chain.recorder.wait_for_end("plain")
    assert (account.state, account.written, account.missing_frames) == (SeriesState.INCOMPLETE, 29, ((10, 10),))
    with h5py.File(chain.root / "plain.h5") as file:
        rows = [n for n in range(30) if n != 10]
        np.testing.assert_array_equal(file[DATA][rows], [image(n) for n in rows])


def test_a_recorder_stopped_in_mid_series_goes_on_when_it_is_started_again(start_chain: StartChain) -> None:
    chain = start_chain(replay=True)
    chain.start("stopped.h5", id="stopped", frames_expected=30)
    chain.frames(*range(10))
    chain.flushed(10)
    chain.frames(*range(10, 15))
    assert chain.recorder.close() == 0
    with h5py.File(chain.root / "stopped.h5") as file:
        assert "end_time" not in file["entry"]
        np.testing.assert_array_equal(file[DATA][:10], [image(n) for n in range(10)])
    chain.frames(*range(15, 20))
    chain.restart()
    series = chain.recorder.status.series
    assert series is not None
    assert (series.series_id, series.state) == ("stopped", SeriesState.OPEN)
    chain.frames(*range(20, 30))
    chain.end()
    assert chain.serve_to_end().state is SeriesState.COMPLETE
    whole(chain.root / "stopped.h5", 30)


def test_a_recorder_killed_with_its_writer_goes_on_when_it_is_started_again(start_chain: StartChain) -> None:
    chain = start_chain(replay=True)
    chain.start("gone.h5", id="gone", frames_expected=20)
    chain.frames(*range(10))
    chain.flushed(5)
    children = psutil.Process(chain.recorder.pid).children()
    chain.recorder.process.kill()
    for child in children:
        child.kill()
    chain.recorder.close()
    psutil.wait_procs(children, 10)
    chain.frames(*range(10, 15))
    chain.restart()
    chain.frames(*range(15, 20))
    chain.end()
    assert chain.serve_to_end().state is SeriesState.COMPLETE
    whole(chain.root / "gone.h5", 20)


def test_a_series_whose_sender_never_comes_back_ends_as_incomplete(start_chain: StartChain) -> None:
    chain = start_chain(replay=True, replay_timeout_s=1.0)
    chain.start("left.h5", id="left", frames_expected=20)
    chain.frames(*range(10))
    chain.flushed(10)
    chain.recorder.close()
    chain.publisher.close(0)
    chain.restart()
    account = chain.recorder.wait_for_end("left")
    assert (account.state, account.written, account.missing) == (SeriesState.INCOMPLETE, 10, 10)
    assert "the recorder went on with the series, and no sender was at" in account.reason


def test_a_second_recorder_of_the_same_name_says_so(start_chain: StartChain, tmp_path: Path) -> None:
    chain = start_chain()
    with pytest.raises(AssertionError, match=r"a recorder called 'recorder' is writing below .* already"):
        RecorderProcess(tmp_path / "second", **chain.config)
    chain.series("still.h5", range(3), id="still")
    assert chain.recorder.wait_for_end("still").state is SeriesState.COMPLETE


def made_again(root: Path) -> None:
    """As after a remount of a disk that was emptied."""
    shutil.rmtree(root)
    root.mkdir()


def test_the_first_series_below_a_root_that_was_made_again_survives_its_writer(start_chain: StartChain) -> None:
    chain = start_chain(replay=True)
    chain.series("before.h5", range(3), id="before")
    chain.serve_to_end()
    made_again(chain.root)
    prepared = chain.recorder.client.post("/prepare", PrepareRequest(series_id="first", filename="first.h5"))
    assert prepared.state is RecorderState.READY
    chain.start("first.h5", id="first", frames_expected=30)
    chain.frames(*range(10))
    notes = chain.flushed(10).notes
    chain.serve(another_than(kill_writer(chain)))
    chain.frames(*range(10, 30))
    chain.end()
    assert (chain.serve_to_end().state, notes) == (SeriesState.COMPLETE, ())
    whole(chain.root / "first.h5", 30)


def test_below_a_root_that_was_made_again_a_second_recorder_of_that_name_is_refused(
    start_chain: StartChain, tmp_path: Path
) -> None:
    chain = start_chain()
    made_again(chain.root)
    chain.start("first.h5", id="first", frames_expected=3)
    chain.frames(0)
    chain.flushed(1)
    with pytest.raises(AssertionError, match=r"a recorder called 'recorder' is writing below .* already"):
        RecorderProcess(tmp_path / "second", **chain.config)
    assert not list(chain.root.glob(".stins/*.aside"))
    chain.frames(1, 2)
    chain.end()
    assert chain.recorder.wait_for_end("first").state is SeriesState.COMPLETE


def test_a_recorder_whose_root_another_has_taken_meanwhile_records_nothing_and_says_why(
    start_chain: StartChain, tmp_path: Path
) -> None:
    chain = start_chain()
    made_again(chain.root)
    other = RecorderProcess(tmp_path / "second", **{**chain.config, "sources": ["tcp://127.0.0.1:1"]})
    try:
        with pytest.raises(RemoteError, match=r"a recorder called 'recorder' is writing below .* already"):
            chain.recorder.client.post("/prepare", PrepareRequest(series_id="x", filename="x.h5"))
        chain.series("x.h5", range(3), id="x", frames_expected=3)
        account = chain.recorder.wait_for_end("x")
        assert (account.state, account.written) == (SeriesState.FAILED, 0)
        assert "is writing below" in chain.recorder.wait_for(lambda s: s.state is RecorderState.FAULT).reason
        assert not (chain.root / "x.h5").exists()
    finally:
        other.close()
    chain.series("y.h5", range(3), id="y", frames_expected=3)
    assert chain.recorder.wait_for_end("y").state is SeriesState.COMPLETE


def test_a_file_that_cannot_be_gone_on_with_fails_its_series_and_the_next_one_works(start_chain: StartChain) -> None:
    chain = start_chain(replay=True)
    chain.start("spoilt.h5", id="spoilt", frames_expected=20)
    chain.frames(*range(10))
    chain.flushed(10)
    chain.recorder.close()
    (chain.root / "spoilt.h5").write_bytes(b"no HDF5 any more")
    chain.restart()
    status = chain.recorder.wait_for(lambda s: s.state is RecorderState.FAULT)
    assert "expected the signature of an HDF5 file" in status.reason
    chain.frames(*range(10, 20))
    chain.end()
    account: Any = chain.serve_to_end()
    assert (account.state, account.written, account.missing) == (SeriesState.FAILED, 10, 10)
    chain.series("next.h5", range(3), id="next", frames_expected=3)
    assert chain.serve_to_end().state is SeriesState.COMPLETE


def lose_writer_and_journal(chain: Chain, filename: str) -> RecorderStatus:
    """Ten of 30 frames are flushed, and the writer dies; what the recorder says then."""
    chain.start(filename, id=filename, frames_expected=30)
    chain.frame(0)
    chain.flushed(1)
    shutil.rmtree(chain.root / ".stins")
    chain.frames(*range(1, 10))
    chain.flushed(10)
    kill_writer(chain)
    return chain.recorder.wait_for(lambda s: s.series and s.series.state is SeriesState.FAILED)


def test_a_series_that_loses_its_writer_and_has_no_journal_is_a_fault_until_somebody_has_seen_it(
    start_chain: StartChain,
) -> None:
    chain = start_chain()
    status = lose_writer_and_journal(chain, "lost.h5")
    assert status.series is not None
    assert status.reason.endswith("died: signal SIGKILL; no journal says how to go on with the file")
    assert (status.state, status.series.reason) == (RecorderState.FAULT, status.reason)
    chain.frames(*range(10, 30))
    chain.end()
    chain.recorder.wait_for(lambda s: any("lost.h5: salvaged" in note for note in s.notes))
    assert chain.recorder.status.state is RecorderState.FAULT
    assert chain.recorder.client.post("/reset").state is RecorderState.IDLE
    lose_writer_and_journal(chain, "again.h5")
    chain.end()
    chain.series("next.h5", range(3), id="next", frames_expected=3)
    assert chain.recorder.wait_for_end("next").state is SeriesState.COMPLETE
    chain.recorder.wait_for(lambda s: (s.state, s.reason) == (RecorderState.IDLE, ""))


def test_the_account_of_a_series_that_nobody_goes_on_with_adds_up_and_is_that_of_its_file(
    start_chain: StartChain,
) -> None:
    chain = start_chain()
    account: Any = lose_writer_and_journal(chain, "lost.h5").series
    balanced(account)
    assert (account.written, account.missing, account.missing_frames) == (10, 20, ((10, 29),))
    chain.recorder.wait_for(lambda s: any("lost.h5: salvaged" in note for note in s.notes))
    with h5py.File(chain.root / "lost.h5") as file:
        said = file["entry/series"]
        assert [int(said[key][()]) for key in ("received", "written", "missing")] == [10, 10, 20]
        np.testing.assert_array_equal(said["missing_frames"], account.missing_frames)
        assert said["outcome"].asstr()[()] == account.state.value


@contextmanager
def leased(path: Path) -> Iterator[None]:
    """Whoever opens the file waits (45 s): the kernel asks this process to give its lease back, and it doesn't."""
    asked = signal.signal(signal.SIGIO, signal.SIG_IGN)
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(file)
        signal.signal(signal.SIGIO, asked)


def test_a_file_that_hangs_whoever_opens_it_is_given_up_within_its_limit(start_chain: StartChain) -> None:
    chain = start_chain(replay=True, resume_limit_s=1.5)
    chain.start("hangs.h5", id="hangs", frames_expected=20)
    chain.frames(*range(10))
    chain.flushed(10)
    chain.recorder.close()
    with leased(chain.root / "hangs.h5"):
        chain.restart()
        status = chain.recorder.wait_for(lambda s: s.state is RecorderState.FAULT)
        assert "given up: going on with the file took longer than 1.5 s" in status.reason
    chain.frames(*range(10, 20))
    chain.end()
    assert chain.serve_to_end().state is SeriesState.FAILED
    chain.series("next.h5", range(3), id="next", frames_expected=3)
    assert chain.serve_to_end().state is SeriesState.COMPLETE
