"""Daemons as child processes: they say where they are, why they ended, and never stay behind."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from stins_ophyd import DaemonProcess, ProcessError

SIMULATED = {"name": "sim", "backend": "simulated", "settings": {"shape": [8, 8], "pool": 1}}


def test_a_daemon_says_where_it_is_and_ends_with_its_context() -> None:
    with DaemonProcess("acquirer", SIMULATED) as process:
        assert process.ready.pid == process.pid
        assert process.ready.control.startswith("http://127.0.0.1:")
        assert process.ended() is None
    assert not psutil.pid_exists(process.pid)
    assert not process.log_file.exists()


def test_a_daemon_that_is_killed_says_how_it_ended_and_comes_back_where_it_was(tmp_path: Path) -> None:
    with DaemonProcess("acquirer", SIMULATED, folder=tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        assert process.wait(5)
        assert "acquirer 'sim' (process" in process.ended()
        assert "was ended by SIGKILL" in process.ended()
        process.stop()
        with DaemonProcess("acquirer", process.pinned, folder=tmp_path) as again:
            assert (again.ready.control, again.ready.stream) == (process.ready.control, process.ready.stream)


def test_a_daemon_that_ends_by_itself_quotes_its_warnings_and_not_all_that_it_did(tmp_path: Path) -> None:
    with DaemonProcess("acquirer", SIMULATED, folder=tmp_path) as process:
        with process.log_file.open("a") as log:
            log.write("2026-11-27 21:20:01,123 INFO stins_acquirers.service: series 7 is armed\n")
            log.write("2026-11-27 21:20:02,123 WARNING stins_acquirers.service: frame 3 was dropped\n")
            log.write("Fatal Python error: Segmentation fault\n")
        process.send_signal(signal.SIGKILL)
        assert process.wait(5)
        assert "series 7 is armed" in process.tail()
        said = process.ended()
    assert "frame 3 was dropped" in said
    assert "Segmentation fault" in said
    assert " INFO " not in said
    assert said.endswith(f"all its messages: {tmp_path / 'sim.log'}")


def test_a_daemon_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"(?s)'sim' .* ended with status 2.*no acquirer backend 'nosuch'") as error:
        DaemonProcess("acquirer", {"name": "sim", "backend": "nosuch"}, folder=tmp_path)
    assert error.value.refused


def test_a_daemon_that_is_too_slow_is_ended(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    with pytest.raises(ProcessError, match=r"acquirer 'sim' was not ready within 0.05 s") as error:
        DaemonProcess("acquirer", SIMULATED, folder=tmp_path, deadline_s=0.05)
    assert not error.value.refused
    assert set(psutil.Process().children()) == before


def test_a_stopped_daemon_can_be_ended(tmp_path: Path) -> None:
    with DaemonProcess("acquirer", SIMULATED, folder=tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        process.stop()
        assert "ended with status 0" in process.ended()
        process.stop()


def test_a_daemon_does_not_get_our_ctrl_c(tmp_path: Path) -> None:
    with DaemonProcess("acquirer", SIMULATED, folder=tmp_path) as process:
        assert os.getpgid(process.pid) != os.getpgrp()
