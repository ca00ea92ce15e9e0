"""ZeroMQ's threads do not interrupt the thread that hands them messages."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq

from stins.transport.threads import undisturbing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has threads that interrupt nobody")

DEADLINE_S = 10.0
#: A process with a policy of its own, which may not choose another; the libraries are loaded before.
UNPRIVILEGED = """
import os, zmq
from stins.transport.threads import undisturbing
os.sched_setscheduler(0, os.{policy}, os.sched_param({priority}))
if os.getuid() == 0:
    os.setuid(65534)
with undisturbing(zmq.Context()) as context, context.socket(zmq.PUSH) as socket:
    socket.bind("tcp://127.0.0.1:0")
print(os.sched_getscheduler(0) == os.{policy})
"""


def _policies() -> dict[int, int]:
    """The scheduling policy of each thread of this process."""
    return {int(task.name): os.sched_getscheduler(int(task.name)) for task in Path("/proc/self/task").iterdir()}


def test_the_threads_of_a_context_interrupt_nobody_and_the_others_stay_as_they_are():
    undisturbing(zmq.Context()).term()  # whether it is allowed is tried once
    before = _policies()

    with undisturbing(zmq.Context()) as context, context.socket(zmq.PUSH):
        # Each thread does so itself, once it runs.
        deadline = time.monotonic() + DEADLINE_S
        while True:
            after = _policies()
            made = {after[task] for task in set(after) - set(before)}
            if made == {os.SCHED_BATCH} or time.monotonic() > deadline:
                break
            time.sleep(0.01)

    assert made == {os.SCHED_BATCH}
    there = before.keys() & after.keys()  # one of another test may have ended meanwhile
    assert {task: after[task] for task in there} == {task: before[task] for task in there}


def test_a_process_with_a_policy_of_its_own_keeps_it_and_is_not_aborted():
    code = UNPRIVILEGED.format(policy="SCHED_IDLE", priority=0)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
