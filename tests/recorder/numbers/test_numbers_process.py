"""The process that computes numbers, as its supervisor has it."""

import os
import signal
from collections.abc import Iterator

import pytest
from stins_recorder.numbers.messages import Work
from stins_recorder.numbers.process import NumbersProcess


@pytest.fixture
def process() -> Iterator[NumbersProcess]:
    process = NumbersProcess()
    yield process
    process.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_leaves_it_to_its_supervisor(process: NumbersProcess, number: int) -> None:
    work = Work(file="/nowhere/scan.h5", rows=1)
    assert process.ask(work, 20).problem  # it has begun
    os.kill(process.pid, number)
    assert "/nowhere/scan.h5" in process.ask(work, 20).problem
    assert process.end(20) == "exit status 0"  # on a busy machine the lowest priority has no turn for a while
