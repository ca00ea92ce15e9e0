"""ZeroMQ's threads do not interrupt the thread that hands them messages."""

import os
import sys
import time
from pathlib import Path

import pytest
import zmq

from stins.transport.threads import undisturbing


def _policies() -> dict[int, int]:
    """The scheduling policy of each thread of this process."""
    return {int(task.name): os.sched_getscheduler(int(task.name)) for task in Path("/proc/self/task").iterdir()}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has threads that interrupt nobody")
def test_the_threads_of_a_context_interrupt_nobody_and_the_others_stay_as_they_are():
    before = _policies()

    with undisturbing(zmq.Context()) as context, context.socket(zmq.PUSH):
        # Each thread does so itself, once it runs.
        deadline = time.monotonic() + 5
        while True:
            after = _policies()
            made = {after[task] for task in set(after) - set(before)}
            if made == {os.SCHED_BATCH} or time.monotonic() > deadline:
                break

    assert made == {os.SCHED_BATCH}
    assert {task: after[task] for task in before} == before
