"""What camserver says late, or unasked, is never taken for the answer to something else."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stins_acquirers.backend import Ending
from stins_acquirers.conformance import arm_request, read_frames
from stins_acquirers.dectris.pilatus import PilatusBackend
from stins_acquirers.dectris.pilatus.camserver import Camserver
from stins_acquirers.simulate.camserver import Fault, Simulator

from stins.control import TriggerRequest

#: Exposures that last until they are ended.
LONG: dict[str, Any] = {"exposure_s": 3600.0}

Make = Callable[..., PilatusBackend]
Simulate = Callable[..., Simulator]


@pytest.fixture
def dialogue(camserver: Simulator) -> Iterator[Camserver]:
    """Connected to it."""
    dialogue = Camserver("127.0.0.1", camserver.port, 30.0)
    dialogue.connect("test")
    yield dialogue
    dialogue.close()


def abort_one(backend: PilatusBackend) -> float:
    """Aborts a series of exposures that last; how long that took."""
    backend.arm(arm_request("internal", 4))
    backend.trigger(TriggerRequest())
    began = time.monotonic()
    backend.abort()
    return time.monotonic() - began


def test_an_old_camserver_that_knows_only_one_word_ends_the_series_all_the_same(
    camserver: Simulator, make: Make
) -> None:
    backend = make(camserver, **LONG)
    camserver.add_fault(Fault(kind="refuse", command="camcmd"))
    abort_one(backend)
    backend.configure({"exposure_s": 0.002})
    backend.arm(arm_request("internal", 2))
    backend.trigger(TriggerRequest())
    assert len(read_frames(backend)) == 2


def test_an_abort_waits_for_the_second_answer_to_it(simulate: Simulate, make: Make) -> None:
    backend = make(simulate(model="pilatus3-300k", second_s=0.4), **LONG)
    assert abort_one(backend) >= 0.4


def test_an_answer_to_an_abort_that_comes_in_the_next_series_does_not_end_it(simulate: Simulate, make: Make) -> None:
    backend = make(simulate(model="pilatus3-300k", second_s=1.5), exposure_s=0.02, image_timeout_s=1.0)
    backend.arm(arm_request("internal", 1000))
    backend.trigger(TriggerRequest())
    while not backend.read(0.1):
        pass
    # The second answer names an image, as it does when some were taken, and comes when it isn't waited for any longer.
    backend.abort()
    backend.configure({"exposure_s": 2.0})
    backend.arm(arm_request("internal", 1))
    backend.trigger(TriggerRequest())
    # If that ended it, its image would have to be there before it is exposed.
    assert len(read_frames(backend)) == 1
    assert backend.ending() == Ending()


def test_an_answer_that_is_still_to_come_is_left_behind_when_the_dialogue_is_synchronized(
    camserver: Simulator, dialogue: Camserver
) -> None:
    camserver.add_fault(Fault(kind="slow", command="camcmd", seconds=0.2))
    dialogue.interrupt("test", "camcmd k")
    dialogue.synchronize("test")
    assert str(dialogue.command("test", "nimages 3")) == "15 OK N images set to: 3"
