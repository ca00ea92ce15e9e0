"""The connection to the stream: made for each series, and let go of behind it."""

from collections.abc import Callable

import pytest
from stins_acquirers.backend import Ending
from stins_acquirers.conformance import arm_request
from stins_acquirers.dectris import EigerBackend

from stins.control import TriggerRequest
from tests.acquirers.dectris.eiger_kit import numbers, until_over
from tests.acquirers.simulate_kit import RunningEiger, pulling, running_eiger

Make = Callable[..., EigerBackend]


def test_the_full_frame_comes_behind_a_region_of_interest_whose_messages_were_smaller(make: Make) -> None:
    # Mask and flat field of the full frame have 25.6 MB: more than 16 MiB, the least that is let pass.
    with running_eiger(shape="2000x1600", pool=1) as eiger:
        backend = make(eiger, roi_mode="lines", roi_y_size=8)
        backend.arm(arm_request())
        backend.abort()
        backend.configure({"roi_mode": "disabled", "roi_y_size": None})
        opening = backend.arm(arm_request())
        assert opening.header.data[0].shape == (2000, 1600)
        backend.close()


@pytest.mark.parametrize("ended", ["by itself", "disarmed", "aborted"])
def test_an_idle_acquirer_takes_no_message_of_another_client(make: Make, eiger2: RunningEiger, ended: str) -> None:
    backend = make()
    backend.arm(arm_request("software", frames=2, triggers=1 if ended == "by itself" else None))
    backend.trigger(TriggerRequest())
    if ended == "by itself":
        assert until_over(backend)[1] == Ending()
    elif ended == "disarmed":
        backend.disarm()
        while backend.read(0.0):
            pass
    else:
        backend.abort()
    eiger2.set(trigger_mode="ints", nimages=10, ntrigger=1)
    with pulling(eiger2.v2) as other:
        eiger2.command("arm")
        eiger2.command("trigger")
        # Start, ten images, end.
        assert len([other.recv() for _ in range(12)]) == 12


def test_a_series_comes_whole_right_behind_one_that_was_aborted(make: Make) -> None:
    backend = make()
    for _ in range(5):
        backend.arm(arm_request(frames=100))
        backend.trigger(TriggerRequest())
        backend.abort()
    backend.arm(arm_request(frames=3))
    backend.trigger(TriggerRequest())
    frames, ending = until_over(backend)
    assert (numbers(frames), ending) == ([0, 1, 2], Ending())
