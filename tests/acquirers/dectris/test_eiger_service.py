"""The detector behind the acquirer's loop: a receiver gets its series, and its faults are the acquirer's."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from stins_acquirers.dectris import EigerBackend

from stins import EndSeries, Outcome, StinsError, StoreFrame
from stins.control import AcquirerState, ArmRequest, TriggerRequest
from tests.acquirers.simulate_kit import RunningEiger

Make = Callable[..., EigerBackend]
Started = Callable[..., Any]
DEADLINE_S = 30.0


def request(**changes: Any) -> ArmRequest:
    return ArmRequest(**{"series_id": "s", "frames_per_trigger": 3, **changes})


def begin(running: Any, **changes: Any) -> None:
    running.service.arm(request(**changes))
    running.service.trigger(TriggerRequest())


def lose_the_last_of_a_trigger(running: Any, eiger2: RunningEiger) -> None:
    """Of three images, in a series that goes on; the detector is well again behind it."""
    eiger2.fault("drop_images", image=2)
    begin(running, trigger_mode="software", triggers=None)
    running.until_state(AcquirerState.ARMED)
    eiger2.clear_faults()


def test_a_whole_series_reaches_a_strict_receiver(make: Make, start: Started, consume: Started) -> None:
    running = start(make())
    consumer = consume(running.publisher.endpoint)
    begin(running)
    opened, stored, ended = consumer.series()
    assert opened.start.detector.vendor == "DECTRIS"
    assert [frame.row for frame in stored] == [0, 1, 2]
    assert ended.result.outcome is Outcome.COMPLETE


def test_a_cable_needs_no_command(make: Make, start: Started, consume: Started, eiger2: RunningEiger) -> None:
    running = start(make())
    consumer = consume(running.publisher.endpoint)
    assert running.service.arm(request(trigger_mode="external", triggers=2)).state is AcquirerState.ARMED
    eiger2.pulse()
    running.until_state(AcquirerState.ACQUIRING)
    # The first pulse's frames last for some milliseconds; a pulse that comes too early starts nothing.
    deadline = time.monotonic() + DEADLINE_S
    while not eiger2.pulse()["taken"]:
        assert time.monotonic() < deadline
    assert len(consumer.series()[1]) == 6
    assert running.until_state(AcquirerState.IDLE).frames_sent == 6


def test_images_that_the_detector_dropped_are_missing_with_the_reason(
    make: Make, start: Started, consume: Started, eiger2: RunningEiger
) -> None:
    running = start(make())
    consumer = consume(running.publisher.endpoint)
    eiger2.fault("drop_images", image=1, images=2)
    begin(running, frames_per_trigger=6)
    result = consumer.series()[2].result
    eiger2.clear_faults()
    assert result.missing == ((1, 2),)
    assert any("the DCU's stream says that it dropped 2" in reason for reason in result.reasons)


def test_a_dcu_that_is_slow_to_say_how_many_it_dropped_is_told_by_status_and_end_alike(
    make: Make, start: Started, consume: Started, eiger2: RunningEiger
) -> None:
    running = start(make())
    consumer = consume(running.publisher.endpoint)
    eiger2.fault("drop_images", image=3)
    eiger2.fault("slow", key="stream/status/dropped", seconds=0.5)
    begin(running, frames_per_trigger=30)
    ended = consumer.series()[2]
    status = running.until_state(AcquirerState.IDLE)
    told = "1 images did not come (the DCU's stream says that it dropped 1): nobody took them in time"
    assert (ended.result.end.reason, status.drop_reason) == (told, told)
    assert (status.frames_dropped, status.frames_not_given) == (1, 1)


def test_what_was_dropped_before_a_series_is_disarmed_is_missing_with_the_reason(
    make: Make, start: Started, consume: Started, eiger2: RunningEiger
) -> None:
    running = start(make(end_timeout_s=1.0))
    consumer = consume(running.publisher.endpoint)
    lose_the_last_of_a_trigger(running, eiger2)
    running.service.disarm()
    result = consumer.series()[2].result
    assert result.missing == ((2, 2),)
    assert any("1 images did not come" in reason for reason in result.reasons)


def test_what_was_dropped_behind_the_last_frame_is_told_at_once_and_an_abort_says_why_it_is_missing(
    make: Make, start: Started, consume: Started, eiger2: RunningEiger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    # The DCU accounts for what is missing, so the silence is not waited for.
    running = start(make(end_timeout_s=300.0))
    consumer = consume(running.publisher.endpoint)
    lose_the_last_of_a_trigger(running, eiger2)
    assert (running.status.frames_sent, running.status.frames_dropped) == (2, 1)
    told = "1 images did not come (the DCU's stream says that it dropped 1): nobody took them in time"
    assert running.status.drop_reason == told
    running.service.abort()
    result = consumer.series()[2].result
    assert result.missing == ((2, 2),)
    assert (running.status.frames_dropped, running.status.drop_reason) == (1, told)
    assert f"series ended, 2 frames sent, 1 dropped: {told}" in caplog.text
    why = "on request; 1 images did not come (the DCU's stream says that it dropped 1)"
    assert any(why in reason for reason in result.reasons), result.reasons


def test_an_abort_in_the_middle_says_what_the_detector_has_dropped_before(
    make: Make, start: Started, consume: Started, eiger2: RunningEiger
) -> None:
    running = start(make(exposure_s=0.01))
    consumer = consume(running.publisher.endpoint)
    eiger2.fault("drop_images", image=1)
    begin(running, frames_per_trigger=10_000)
    deadline = time.monotonic() + DEADLINE_S
    while not running.status.frames_dropped:
        assert time.monotonic() < deadline
    eiger2.clear_faults()
    running.service.abort()
    result = consumer.until(EndSeries)[-1].result
    assert result.missing[0] == (1, 1)
    why = "on request; 1 images did not come (the DCU's stream says that it dropped 1)"
    assert any(why in reason for reason in result.reasons), result.reasons


def test_a_detector_that_cannot_be_used_is_a_fault_with_reason_and_the_next_arming_works(
    make: Make, start: Started, consume: Started, eiger2: RunningEiger
) -> None:
    running = start(make())
    consumer = consume(running.publisher.endpoint)
    eiger2.fault("high_voltage_off")
    with pytest.raises(StinsError, match="high voltage is OFF"):
        running.service.arm(request())
    status = running.until_state(AcquirerState.FAULT)
    assert "switch it on" in status.reason
    eiger2.clear_faults()
    begin(running)
    assert consumer.series()[2].result.outcome is Outcome.COMPLETE


def test_a_dcu_that_restarts_in_the_middle_ends_the_series_as_failed_and_the_next_works(
    make: Make, start: Started, consume: Started, eiger2: RunningEiger
) -> None:
    running = start(make(exposure_s=0.02))
    consumer = consume(running.publisher.endpoint)
    begin(running, frames_per_trigger=500)
    deadline = time.monotonic() + DEADLINE_S
    while not running.status.frames_sent:
        assert time.monotonic() < deadline
    eiger2.restart()
    ended = consumer.series()[2]
    assert ended.result.end.status == "failed"
    assert running.until_state(AcquirerState.FAULT).reason
    begin(running)
    assert consumer.series()[2].result.outcome is Outcome.COMPLETE


def test_an_abort_is_told_to_the_detector_and_what_did_not_come_is_missing_with_the_reason(
    make: Make, start: Started, consume: Started, eiger2: RunningEiger
) -> None:
    running = start(make(exposure_s=0.1))
    consumer = consume(running.publisher.endpoint)
    begin(running, frames_per_trigger=10_000)
    consumer.until(StoreFrame)
    running.service.abort()
    assert eiger2.state == "idle"
    result = consumer.until(EndSeries)[-1].result
    sent = running.status.frames_sent
    assert (result.end.status, result.outcome, result.missing) == ("aborted", Outcome.INCOMPLETE, ((sent, 9999),))
    assert any("aborted by the sender: on request" in reason for reason in result.reasons)


def test_a_refused_setting_is_no_fault(make: Make, start: Started) -> None:
    running = start(make())
    with pytest.raises(StinsError, match="incident_energy"):
        running.service.configure({"incident_energy": 1e9})
    assert running.status.state is AcquirerState.IDLE


def test_the_status_says_what_is_set_with_its_units(make: Make, start: Started) -> None:
    running = start(make(exposure_s=0.1))
    assert running.status.settings["exposure_s"] == 0.1
    assert running.status.units["incident_energy"] == "eV"
    assert running.status.frame.shape == (64, 48)
