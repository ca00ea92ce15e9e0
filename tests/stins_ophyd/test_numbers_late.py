"""Numbers of frames that do not come: no scan whose frames are safe fails of it."""

import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bluesky.plans as bp
import msgspec
import pytest
from bluesky import RunEngine
from stins_recorder.numbers.keeper import ROW_LIMIT_S

from stins.control import NumbersRequest
from stins_ophyd import Controller, Deadlines, StinsDetector, fly_series
from tests.stins_ophyd.chain import QUICK, Chain, Documents

ASKED = NumbersRequest(keys=("sum",))


@pytest.fixture(autouse=True)
def leak_check() -> None:
    """Off in this module: its chain is revived within tests and lives on; whoever made the chain ends all of it."""


@contextmanager
def stopped_numbers(chain: Chain) -> Iterator[int]:
    """The process that computes them stands still inside; it is there as soon as numbers have been asked for."""
    (pid,) = [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if b"stins_recorder.numbers" in (folder / "cmdline").read_bytes().split(b"\0")
        and (folder / "stat").read_text().rpartition(")")[2].split()[1] == str(chain.recorder.pid)
    ]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


def numbered_series(controller: Controller, filename: str) -> None:
    """One with its numbers: from then on the process that computes them is there."""
    series = controller.arm(filename, numbers=ASKED)
    controller.wait_for(controller.trigger())
    closed = controller.wait_for_numbers(str(series.series_id), None)
    assert closed is not None
    assert closed.numbers_state == "complete"


def test_a_scan_goes_on_without_those_that_do_not_come(
    engine: RunEngine, documents: Documents, fragile: Chain, revived: Controller, filename: str
) -> None:
    numbered_series(revived, filename)
    with fragile.controller(msgspec.structs.replace(QUICK, numbers_s=0.3)) as hasty:
        detector = StinsDetector(name="det", controller=hasty, numbers=ASKED)
        with stopped_numbers(fragile):
            engine(bp.count([detector], 3))
            assert documents.stop["exit_status"] == "success"
            assert documents.indices[-3:] == [(0, 1), (1, 2), (2, 3)]
            assert all(math.isnan(event["data"]["det_sum"]) for event in documents.of("event")[-3:])
            engine(fly_series(detector, 5))
            assert documents.stop["exit_status"] == "success"
            assert documents.indices[-1][1] == 5


def test_an_acquirer_that_goes_takes_no_numbers_along(fragile: Chain, revived: Controller, filename: str) -> None:
    numbered_series(revived, f"first-{filename}")
    with stopped_numbers(fragile) as pid:
        series = revived.arm(filename, frames_per_trigger=4, numbers=ASKED)
        revived.wait_for(revived.trigger())
        fragile.acquirer.send_signal(signal.SIGKILL)
        later = threading.Timer(1 + 2 * QUICK.offline_s, os.kill, (pid, signal.SIGCONT))
        later.start()
        closed = revived.wait_for_numbers(str(series.series_id), None)
        later.join()
    assert closed is not None
    assert (closed.numbers_state, closed.numbers_rows) == ("complete", 4)


def test_a_row_that_cannot_be_read_is_skipped_before_anybody_gives_up() -> None:
    restart_s = 5
    assert ROW_LIMIT_S + restart_s < Deadlines().numbers_s
