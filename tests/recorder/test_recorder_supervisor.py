"""The supervisor and its writer: how one that dies is started again."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from recorder_kit import Stream, wait_until
from stins_recorder.config import RecorderConfig
from stins_recorder.supervisor import Supervisor

from stins.control import RecorderState, SeriesState
from stins.transport import Publisher


class Watched:
    """A supervisor in this process, its writer in one of its own, and a sender."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.publisher = Publisher("tcp://127.0.0.1:0")
        self.stream = Stream(self._send)
        self.supervisor = Supervisor(RecorderConfig(roots=[root], sources=[self.publisher.endpoint]))
        self.supervisor.start()
        self.thread = threading.Thread(target=self.supervisor.run, name="supervisor")
        self.thread.start()

    def _send(self, parts: list[bytes]) -> None:
        assert self.publisher.send(parts, 10)

    @property
    def writer_pid(self) -> int:
        pid = self.supervisor.board.status.writer_pid
        assert pid is not None
        return pid

    def kill_writer(self) -> str:
        """Kills it; why the recorder is in FAULT then."""
        pid = self.writer_pid
        psutil.Process(pid).kill()
        wait_until(lambda: f"process {pid}" in self.supervisor.board.status.reason)
        return self.supervisor.board.status.reason

    def wait_for_another(self, pid: int) -> None:
        wait_until(lambda: self.writer_pid != pid)

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


def test_a_writer_that_dies_again_and_again_waits_longer_each_time_until_a_series_has_ended(watched: Watched) -> None:
    for pause in ("0.2", "0.4"):
        pid = watched.writer_pid
        assert watched.kill_writer().endswith(f"died: signal SIGKILL; it is started again in {pause} s")
        watched.wait_for_another(pid)
    watched.stream.series("a.h5", range(3))
    wait_until(lambda: (s := watched.supervisor.board.status.series) and s.state is SeriesState.COMPLETE)
    assert watched.kill_writer().endswith("in 0.2 s")


def test_a_supervisor_that_is_stopped_while_it_waits_starts_no_writer(watched: Watched) -> None:
    pid = watched.writer_pid
    watched.supervisor._pause_s = 10.0  # as after many deaths
    assert watched.kill_writer().endswith("in 10 s")
    assert watched.supervisor.board.status.state is RecorderState.FAULT
    watched.supervisor.stop()
    watched.thread.join(5)
    assert not watched.thread.is_alive()
    process = watched.supervisor._process
    assert process is not None
    assert process.pid == pid
