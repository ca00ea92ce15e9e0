"""What became free is used again. In a process of its own, whose allocator it is."""

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from stins.transport.memory import keeping_memory

#: Ten messages of 10 MB that are there at once, in a thread; how many pages the last ones took anew.
SCRIPT = """
import resource, sys, threading
from stins.transport.memory import keep_memory

if sys.argv[1] == "call" and not keep_memory():
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


def pages_taken_anew(how: str, environment: Mapping[str, str] = os.environ) -> int:
    """Of 24,000 that the messages have; nearly all, if glibc is left to itself."""
    command = [sys.executable, "-c", SCRIPT, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    if "no glibc" in done.stderr:
        pytest.skip("this C library has no such allocator")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_memory_of_messages_is_kept_for_those_that_follow() -> None:
    assert pages_taken_anew("call") < 3_000


def test_a_process_can_be_started_so() -> None:
    if pages_taken_anew("nothing") < 3_000:
        pytest.skip("this C library keeps it anyway")
    assert pages_taken_anew("nothing", keeping_memory(os.environ)) < 3_000


def test_what_was_asked_of_the_c_library_already_stays() -> None:
    once = keeping_memory({"GLIBC_TUNABLES": "glibc.malloc.check=0", "A": "b"})
    assert once["GLIBC_TUNABLES"].endswith(":glibc.malloc.check=0")
    assert once["A"] == "b"
    assert keeping_memory(once) == once
    assert keeping_memory(keeping_memory({})) == keeping_memory({})
