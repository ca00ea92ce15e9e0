"""Processes that die, hang or are not there: each ends within its deadline, named, and the next series works."""

import signal
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import h5py
import pytest

from stins import StinsError
from stins.control import RecorderStatus, SeriesState
from stins.daemon.client import DaemonClient
from stins.errors import RemoteError
from stins_ophyd import CombinedState, Controller, ControllerError, DaemonProcess, Deadlines
from tests.stins_ophyd.chain import QUICK, Chain

#: What a wait may take at the most: the silence that is heard (3 s), the time to come back, the stall, and the ending.
LIMIT_S = 25.0


@pytest.fixture(autouse=True)
def leak_check() -> None:
    """Off in this module: its chain is revived within tests and lives on; whoever made the chain ends all of it."""


@pytest.fixture
def controller(revived: Controller) -> Controller:
    """The same controller through all of it."""
    return revived


def fails(action: Callable[[], object]) -> RemoteError:
    """The error of an action that has to fail in time."""
    began = time.monotonic()
    with pytest.raises(RemoteError) as raised:
        action()
    assert time.monotonic() - began < LIMIT_S
    return raised.value


def armed(controller: Controller, filename: str) -> None:
    """Arms, and takes one point."""
    controller.arm(filename, trigger_mode="software", triggers=None)
    controller.wait_for(controller.trigger())


def until_offline(controller: Controller) -> None:
    """The command may have failed before the end of the pushed status was seen."""
    deadline = time.monotonic() + LIMIT_S
    while controller.snapshot.state is not CombinedState.OFFLINE:
        assert time.monotonic() < deadline, controller.snapshot
        time.sleep(0.01)


def take(controller: Controller) -> None:
    """Takes a point."""
    controller.wait_for(controller.trigger())


def works(controller: Controller, filename: str) -> None:
    """The next series works, with the same controller."""
    controller.make_ready()
    armed(controller, f"next-{filename}")
    account = controller.disarm()
    assert account is not None
    assert (account.state, account.rows) == (SeriesState.COMPLETE, 1)


def test_an_acquirer_that_is_killed_ends_the_series_by_name(
    fragile: Chain, controller: Controller, filename: str
) -> None:
    armed(controller, filename)
    fragile.acquirer.send_signal(signal.SIGKILL)
    fragile.acquirer.wait(5)
    error = fails(lambda: take(controller))
    assert (error.process, error.endpoint) == ("acquirer", fragile.acquirer.ready.control)
    assert error.step == "trigger"
    until_offline(controller)
    ended = fails(controller.abort)
    assert ended.process == "acquirer"
    assert controller.snapshot.recorder.series.state is SeriesState.INCOMPLETE
    fragile.revive()
    works(controller, filename)


def test_a_recorder_that_is_killed_ends_the_series_by_name(
    fragile: Chain, controller: Controller, filename: str
) -> None:
    armed(controller, filename)
    fragile.recorder.send_signal(signal.SIGKILL)
    fragile.recorder.wait(5)
    error = fails(lambda: take(controller))
    assert (error.process, error.endpoint) == ("recorder", fragile.recorder.ready.control)
    until_offline(controller)
    assert controller.summary.frames == "1 when last heard"
    assert controller.summary.file.endswith(f"/{filename} (open when last heard)")
    fails(controller.abort)
    fragile.revive()
    works(controller, filename)


def test_an_acquirer_that_does_not_answer_ends_the_series_by_name(
    fragile: Chain, controller: Controller, filename: str
) -> None:
    armed(controller, filename)
    fragile.acquirer.send_signal(signal.SIGSTOP)
    error = fails(lambda: take(controller))
    assert (error.process, error.step, error.endpoint) == ("acquirer", "trigger", fragile.acquirer.ready.control)
    assert f"no answer within {QUICK.command_s:g} s" in str(error)
    fragile.acquirer.send_signal(signal.SIGCONT)
    works(controller, filename)


def test_a_recorder_that_does_not_answer_ends_the_series_by_name(
    fragile: Chain, controller: Controller, filename: str
) -> None:
    armed(controller, filename)
    fragile.recorder.send_signal(signal.SIGSTOP)
    error = fails(lambda: take(controller))
    assert (error.process, error.endpoint) == ("recorder", fragile.recorder.ready.control)
    assert controller.snapshot.state in (CombinedState.OFFLINE, CombinedState.ARMED)
    fragile.recorder.send_signal(signal.SIGCONT)
    works(controller, filename)


def test_a_file_says_why_its_series_was_given_up(fragile: Chain, controller: Controller, filename: str) -> None:
    with fragile.controller(Deadlines(command_s=0.3)) as leaving:
        leaving.arm(filename, trigger_mode="software", triggers=None)
        fragile.acquirer.send_signal(signal.SIGSTOP)
    with closing(DaemonClient("recorder", fragile.recorder.ready.control, RecorderStatus)) as recorder:
        series = recorder.status().series
    why = "the controller was closed; the acquirer could not end it: no answer within 0.3 s"
    assert (series.state, series.reason) == (SeriesState.INCOMPLETE, f"stopped on request: {why}")
    with h5py.File(series.file) as file:
        assert file["/entry/series/reason"].asstr()[()] == series.reason
    fragile.acquirer.send_signal(signal.SIGCONT)
    controller.reset()
    works(controller, filename)


def test_a_process_that_restarts_in_the_middle_of_a_series_is_a_fault(
    fragile: Chain, controller: Controller, filename: str
) -> None:
    armed(controller, filename)
    fragile.acquirer.stop()
    fragile.revive()
    controller.connect()
    error = fails(lambda: take(controller))
    assert (error.process, error.step) == ("acquirer", "trigger")
    assert "restarted in the middle of series" in str(error)
    assert controller.snapshot.state is CombinedState.FAULT
    works(controller, filename)


def test_a_port_where_nobody_listens_is_refused_by_name(fragile: Chain) -> None:
    with socket.socket() as silent:
        # It is taken, by who does not listen.
        silent.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{silent.getsockname()[1]}"
        controller = Controller(fragile.acquirer.ready.control, nobody, deadlines=Deadlines(connect_s=1.5))
        try:
            error = fails(controller.connect)
        finally:
            controller.close()
    assert (error.process, error.step, error.endpoint) == ("recorder", "connect", nobody)
    assert controller.snapshot.state is CombinedState.OFFLINE


def test_an_acquirer_without_its_recorder_is_not_armed(fragile: Chain, tmp_path: Path, filename: str) -> None:
    """The recorder listens to another acquirer: arming fails, and says where to look."""
    config = {"name": "alone", "backend": "simulated", "stream": {"peer_timeout_s": 0.5}}
    with (
        DaemonProcess("acquirer", config, folder=tmp_path) as alone,
        Controller(alone.ready.control, fragile.recorder.ready.control, deadlines=QUICK) as controller,
    ):
        error = fails(lambda: controller.arm(filename))
        assert error.process == "acquirer"
        assert "no recorder connected" in str(error)
        assert controller.make_ready().state is CombinedState.IDLE


def test_every_error_is_one_that_callers_can_catch() -> None:
    assert issubclass(ControllerError, RemoteError)
    assert issubclass(RemoteError, StinsError)
