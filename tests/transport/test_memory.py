"""What became free is used again. In a process of its own, whose allocator it is."""

import subprocess
import sys

import pytest

#: Ten messages of 10 MB that are there at once, in a thread; how many pages the last ones took anew.
SCRIPT = """
import resource, sys, threading
from stins.transport.memory import keep_memory

if not keep_memory():
    sys.exit("no glibc")

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def take():
    for _ in range(4):
        before = faults()
        held = [b"1" * 10_000_000 for _ in range(10)]
        taken.append(faults() - before)

taken = []
thread = threading.Thread(target=take)
thread.start()
thread.join()
print(taken[-1])
"""


def pages_taken_anew() -> int:
    """Of 24,000 that the messages have; nearly all, if glibc is left to itself."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    if "no glibc" in done.stderr:
        pytest.skip("this C library has no such allocator")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_memory_of_messages_is_kept_for_those_that_follow() -> None:
    assert pages_taken_anew() < 3_000
