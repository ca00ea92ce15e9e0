"""The supervisor and its writer: how one that dies is started again."""

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import psutil
import pytest
from recorder_kit import Stream, wait_until
from stins_recorder.config import RecorderConfig
from stins_recorder.supervisor.supervisor import Supervisor
from stins_recorder.watchdog import watch_of

from stins.control import RecorderState, RecorderStatus, SeriesState
from stins.transport import Publisher


class Watched:
    """A supervisor in this process, its writer in one of its own, and a sender."""

    def __init__(self, root: Path, call_limit_s: float = 30.0) -> None:
        root.mkdir()
        self.publisher = Publisher("tcp://127.0.0.1:0")
        self.stream = Stream(self._send)
        config = RecorderConfig(roots=[root], sources=[self.publisher.endpoint], call_limit_s=call_limit_s)
        self.supervisor = Supervisor(config)
        #: Every status, in order; also those that last a few milliseconds.
        self.said: list[RecorderStatus] = []
        self.supervisor.board.listen(lambda: self.said.append(self.supervisor.board.status))
        self.supervisor.start()
        self.thread = threading.Thread(target=self.supervisor.run, name="supervisor")
        self.thread.start()

    def _send(self, parts: list[bytes]) -> None:
        assert self.publisher.send(parts, 30)

    @property
    def writer_pid(self) -> int:
        pid = self.supervisor.board.status.writer_pid
        assert pid is not None
        return pid

    def first(self, condition: Callable[[RecorderStatus], object]) -> RecorderStatus:
        """The first status of which it is true, however soon another followed."""
        wait_until(lambda: any(map(condition, self.said)))
        return next(filter(condition, self.said))

    def kill_writer(self) -> str:
        """Kills it; what the recorder says of it."""
        pid = self.writer_pid
        psutil.Process(pid).kill()
        return self.first(lambda status: f"process {pid}" in status.reason).reason

    def wait_for_another(self, pid: int) -> None:
        """It has taken over, too."""
        wait_until(
            lambda: self.writer_pid != pid and self.supervisor.board.status.state is not RecorderState.RECOVERING
        )

    def close(self) -> None:
        self.supervisor.stop()
        self.thread.join(20)
        self.supervisor.shut_down()
        self.publisher.close(0)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path / "data")
    yield watched
    watched.close()


def test_a_writer_that_dies_is_replaced_at_once_and_waits_longer_each_time_until_a_series_has_ended(
    watched: Watched,
) -> None:
    for when in ("at once", "in 0.2 s", "in 0.4 s"):
        pid = watched.writer_pid
        assert watched.kill_writer().endswith(f"died: signal SIGKILL; another is started {when}")
        assert watched.said[-1].state is not RecorderState.FAULT
        watched.wait_for_another(pid)
    watched.stream.series("a.h5", range(3))
    wait_until(lambda: (s := watched.supervisor.board.status.series) and s.state is SeriesState.COMPLETE)
    assert watched.kill_writer().endswith("at once")
    assert watched.supervisor.board.status.restarts == 4


def test_a_writer_that_cannot_live_is_a_fault_until_somebody_has_seen_it(watched: Watched) -> None:
    for _ in range(5):
        pid = watched.writer_pid
        watched.kill_writer()
        watched.wait_for_another(pid)
    wait_until(lambda: watched.supervisor.board.status.state is RecorderState.FAULT)
    assert watched.supervisor.reset().state is RecorderState.IDLE


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Watched]:
    """One for which any call hangs that takes a moment."""
    watched = Watched(tmp_path / "data", call_limit_s=0.2)
    yield watched
    watched.close()


def test_a_call_that_hangs_is_named_while_it_hangs_and_killed_on_request(impatient: Watched) -> None:
    status, pid = impatient.supervisor.board.status, impatient.writer_pid
    writer = impatient.supervisor._writer
    assert writer is not None
    # The writer is stopped, and here is said in its place what it is in.
    watch, process = watch_of(writer.page.descriptor), psutil.Process(pid)
    process.suspend()
    watch("flush")
    hanging = impatient.first(lambda status: status.step == "flush")
    assert "the writer has been in flush for" in hanging.reason
    assert hanging.state is status.state, "nothing has failed yet"
    impatient.said.clear()
    watch("")
    process.resume()
    impatient.first(lambda status: (status.state, status.step, status.reason) == (RecorderState.IDLE, "", ""))

    process.suspend()
    watch("write")
    impatient.first(lambda status: status.step == "write")
    impatient.supervisor.reset()
    impatient.wait_for_another(pid)
    wait_until(lambda: impatient.supervisor.board.status.state is RecorderState.IDLE)
    assert any("died: signal SIGKILL in write" in status.reason for status in impatient.said)


def test_a_supervisor_that_is_stopped_while_it_waits_starts_no_writer(watched: Watched) -> None:
    pid = watched.writer_pid
    for _ in range(20):  # as after many deaths
        watched.supervisor._restarts.died(0.0, achieved=None, resuming=False)
    assert watched.kill_writer().endswith("in 10 s")
    assert watched.supervisor.board.status.state is RecorderState.FAULT
    watched.supervisor.stop()
    watched.thread.join(30)
    assert not watched.thread.is_alive()
    assert watched.writer_pid == pid


def test_a_system_that_starts_no_process_costs_a_spare_and_not_the_writer(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wait_until(lambda: watched.supervisor._spare)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    pid = watched.writer_pid
    watched.kill_writer()
    watched.wait_for_another(pid)  # the spare; and there is no other one
    wait_until(lambda: "cannot start a process" in caplog.text)
    pid = watched.writer_pid
    watched.stream.series("a.h5", range(3))
    wait_until(lambda: (s := watched.supervisor.board.status.series) and s.state is SeriesState.COMPLETE)
    assert watched.writer_pid == pid

    watched.kill_writer()
    watched.first(lambda s: s.state is RecorderState.FAULT and "no other can be started" in s.reason)
    monkeypatch.undo()
    watched.wait_for_another(pid)


def test_what_could_not_be_salvaged_is_tried_again_at_a_reset_and_at_the_next_good_series(
    watched: Watched, tmp_path: Path
) -> None:
    supervisor, root = watched.supervisor, tmp_path / "data"

    def notes(path: Path, found: str) -> bool:
        return any(note.startswith(f"{path}: {found}") for note in supervisor._salvager.notes)

    for number, event in enumerate((supervisor.reset, lambda: watched.stream.series("good.h5", range(3)))):
        path = root / f"{number}.h5"
        path.write_bytes(b"not yet")
        supervisor._salvager.salvage(str(path), "its disk was full")
        wait_until(partial(notes, path, "lost"))
        wait_until(lambda: supervisor._salvager._left)
        path.unlink()
        with h5py.File(path, "w", libver=("v110", "v110")) as file:
            file["entry/series/rows"] = 0
            file["entry/end_time"] = "now"
        event()
        wait_until(partial(notes, path, "whole"))
