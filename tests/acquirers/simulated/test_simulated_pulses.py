"""The trigger input of the simulated detector."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from stins_acquirers.conformance import arm_request, read_frames
from stins_acquirers.simulated import SimulatedBackend, SimulatedSettings

from stins import StinsError
from stins.control import PulseRequest, TriggerRequest

Armed = Callable[..., SimulatedBackend]


@pytest.fixture
def armed() -> Iterator[Armed]:
    """Makes a detector with these settings, armed for so many frames of so many triggers."""
    backends: list[SimulatedBackend] = []

    def arm(frames: int = 1, triggers: int | None = 3, mode: Any = "external", **settings: Any) -> SimulatedBackend:
        backend = SimulatedBackend(SimulatedSettings(shape=(8, 8), pool=1, **settings))
        backends.append(backend)
        backend.arm(arm_request(mode, frames, triggers))
        return backend

    yield arm
    for backend in backends:
        backend.close()


def test_nothing_comes_without_a_pulse_and_whoever_reads_waits(armed: Armed) -> None:
    backend = armed()
    began = time.monotonic()
    assert backend.read(0.05) == []
    assert time.monotonic() - began >= 0.04
    assert (backend.triggered(), backend.ending()) == (False, None)


def test_each_edge_takes_the_frames_of_a_trigger(armed: Armed) -> None:
    backend = armed(frames=2, triggers=3)
    backend.pulse(PulseRequest(count=2))
    assert [frame.number for frame in read_frames(backend)] == [0, 1, 2, 3]
    assert backend.ending() is None
    backend.pulse(PulseRequest())
    assert [frame.number for frame in read_frames(backend)] == [4, 5]
    assert backend.ending() is not None


def test_pulses_behind_the_last_frame_do_nothing(armed: Armed) -> None:
    backend = armed(triggers=2)
    backend.pulse(PulseRequest(count=5))
    assert len(read_frames(backend)) == 2


def test_a_series_without_end_takes_pulses_until_it_is_disarmed(armed: Armed) -> None:
    backend = armed(triggers=None)
    backend.pulse(PulseRequest(count=5))
    assert len(read_frames(backend)) == 5
    backend.disarm()
    assert backend.read(0.0) == ()


def test_a_level_is_as_long_as_its_exposure(armed: Armed) -> None:
    backend = armed(cable_mode="level", exposure_s=5.0)
    backend.pulse(PulseRequest(count=3, length_s=0.02))
    began = time.monotonic()
    times = [frame.timestamp for frame in read_frames(backend)]
    assert time.monotonic() - began >= 0.06
    assert len(times) == 3
    assert all(later - earlier >= 0.02 for earlier, later in pairwise(times))


def test_what_cannot_be_is_refused_by_name(armed: Armed) -> None:
    with pytest.raises(StinsError, match="pulse: no series waits for pulses; arm one with trigger_mode 'external'"):
        SimulatedBackend(SimulatedSettings(shape=(8, 8), pool=1)).pulse(PulseRequest())
    with pytest.raises(StinsError, match="pulse: trigger_mode is 'software', expected 'external'"):
        armed(mode="software").pulse(PulseRequest())
    with pytest.raises(StinsError, match="pulse: length_s: got 0, expected more than 0 s"):
        armed(cable_mode="level").pulse(PulseRequest())
    with pytest.raises(StinsError, match="frames_per_trigger: got 2 with cable_mode 'level', expected 1"):
        armed(frames=2, cable_mode="level")
    with pytest.raises(StinsError, match="trigger: this series waits for pulses"):
        armed().trigger(TriggerRequest())
