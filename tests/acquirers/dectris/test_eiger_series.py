"""A series of the detector: what triggers it, which numbers its frames have, and when it is over."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from stins_acquirers.backend import BackendError, Ending, HardwareError
from stins_acquirers.bitshuffle import decode_part
from stins_acquirers.conformance import arm_request, read_frames
from stins_acquirers.dectris import EigerBackend

from stins import UNSET
from stins.control import TriggerRequest
from tests.acquirers.dectris.eiger_kit import DEADLINE_S, numbers, read, rest, until_over
from tests.acquirers.simulate_kit import RunningEiger

Make = Callable[..., EigerBackend]


# -- triggers -----------------------------------------------------------------------------------


def test_a_trigger_returns_at_once_and_reading_goes_on_while_the_dcu_holds_it_up(make: Make) -> None:
    # Its images would take minutes.
    backend = make(exposure_s=60.0)
    backend.arm(arm_request(frames=3))
    began = time.monotonic()
    backend.trigger(TriggerRequest())
    assert list(backend.read(0.01)) == []
    assert time.monotonic() - began < DEADLINE_S
    backend.abort()


def test_each_pulse_starts_its_frames(make: Make, eiger2: RunningEiger) -> None:
    backend = make()
    backend.arm(arm_request("external", frames=3, triggers=2))
    assert list(backend.read(0.05)) == []
    eiger2.pulse()
    assert numbers(read(backend, 3)) == [0, 1, 2]
    assert backend.ending() is None
    eiger2.pulse()
    assert until_over(backend)[1] == Ending()


def test_a_frame_lasts_as_long_as_its_pulse(make: Make, eiger2: RunningEiger) -> None:
    backend = make(cable_mode="exte")
    backend.arm(arm_request("external", frames=1, triggers=3))
    eiger2.pulse(count=3, width_s=0.02, period_s=0.03)
    frames, ending = until_over(backend)
    assert ending == Ending()
    assert [frame.detector_specific["real_time"] for frame in frames] == [20_000_000] * 3


def test_pulses_are_added_up_in_a_frame_and_the_series_ends_with_the_last(make: Make, eiger2: RunningEiger) -> None:
    backend = make(cable_mode="extg", exposures_per_image=3, end_timeout_s=2.0)
    opening = backend.arm(arm_request("external", frames=1, triggers=2))
    eiger2.pulse(count=6, width_s=0.001, period_s=0.002)
    frames, ending = until_over(backend)
    assert (opening.frames_expected, numbers(frames), ending) == (2, [0, 1], Ending())


def test_a_command_for_each_frame_takes_as_many_as_were_asked_for(make: Make) -> None:
    backend = make(command_mode="inte")
    backend.arm(arm_request("software", frames=3, triggers=2))
    taken = []
    for _ in range(2):
        backend.trigger(TriggerRequest())
        taken.append(numbers(read_frames(backend)))
    assert taken == [[0, 1, 2], [3, 4, 5]]
    assert backend.ending() == Ending()


def test_a_command_does_not_trigger_what_a_cable_does(make: Make) -> None:
    backend = make()
    backend.arm(arm_request("external"))
    with pytest.raises(BackendError, match="triggered by a cable; arm with another trigger_mode"):
        backend.trigger(TriggerRequest())


def test_more_triggers_than_the_detector_was_armed_for_are_refused(make: Make) -> None:
    backend = make()
    backend.arm(arm_request("software", frames=1, triggers=1))
    backend.trigger(TriggerRequest())
    read_frames(backend)
    with pytest.raises(BackendError, match="armed for 1 triggers, and has had them"):
        backend.trigger(TriggerRequest())


def test_more_frames_than_the_detector_takes_are_refused_by_name_and_number(make: Make) -> None:
    with pytest.raises(BackendError, match="frames_per_trigger: got 3000000000 for ints, expected at most 2000000000"):
        make().arm(arm_request(frames=3_000_000_000))


def test_a_series_without_end_ends_when_it_is_disarmed(make: Make) -> None:
    # Its trigger is never answered, and nobody waits for that.
    backend = make(exposure_s=0.01, end_timeout_s=3 * DEADLINE_S)
    opening = backend.arm(arm_request(frames=1, triggers=None))
    backend.trigger(TriggerRequest())
    frames = read(backend, 3)
    began = time.monotonic()
    backend.disarm()
    assert time.monotonic() - began < DEADLINE_S
    frames += rest(backend)
    assert opening.frames_expected is None
    # The detector is armed for billions; nobody expects them.
    assert opening.header.acquisition.triggers_expected is UNSET
    assert opening.header.acquisition.frames_per_trigger == 1
    assert numbers(frames) == list(range(len(frames)))
    assert backend.ending() is None


def test_a_series_without_end_may_last_longer_than_a_socket_can_wait(make: Make, eiger2: RunningEiger) -> None:
    backend = make(exposure_s=5.0)
    backend.arm(arm_request(frames=1, triggers=None))
    backend.trigger(TriggerRequest())
    deadline = time.monotonic() + DEADLINE_S
    while eiger2.state != "acquire":
        assert list(backend.read(0.05)) == []
        assert time.monotonic() < deadline
    backend.abort()


def test_frames_that_the_dcu_still_holds_come_after_disarming(make: Make, eiger2: RunningEiger) -> None:
    backend = make()
    backend.arm(arm_request("software", frames=5, triggers=None))
    backend.trigger(TriggerRequest())
    deadline = time.monotonic() + DEADLINE_S
    while eiger2.status()["images_taken"] < 5:
        assert time.monotonic() < deadline
    backend.disarm()
    assert (numbers(rest(backend)), backend.ending()) == ([0, 1, 2, 3, 4], None)


def test_a_running_series_is_aborted_at_once(make: Make, eiger2: RunningEiger) -> None:
    backend = make(exposure_s=60.0)
    backend.arm(arm_request(frames=100))
    backend.trigger(TriggerRequest())
    began = time.monotonic()
    backend.abort()
    assert time.monotonic() - began < DEADLINE_S
    assert (list(backend.read(0.0)), backend.triggered(), eiger2.state) == ([], False, "idle")


def test_what_an_aborted_series_left_does_not_get_into_the_next(make: Make) -> None:
    backend = make()
    backend.arm(arm_request(frames=20))
    backend.trigger(TriggerRequest())
    read(backend, 1)
    backend.abort()
    backend.arm(arm_request(frames=2))
    backend.trigger(TriggerRequest())
    assert numbers(until_over(backend)[0]) == [0, 1]


# -- pixels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["bslz4", "lz4", "none"])
def test_both_streams_bring_the_same_pixels_in_each_compression(make: Make, compression: str) -> None:
    pixels = []
    for version in ("v2", "v1"):
        backend = make(stream_version=version, compression=compression)
        backend.arm(arm_request(frames=2))
        backend.trigger(TriggerRequest())
        frames, _ = until_over(backend)
        pixels.append(np.array([decode_part(frame.parts[0], frame.payload[0]) for frame in frames]))
        backend.close()
    np.testing.assert_array_equal(*pixels)
    assert pixels[0].any()


def test_several_thresholds_are_parts_of_each_frame_with_masks_of_their_own(make: Make) -> None:
    backend = make(threshold_1_energy=6000.0, threshold_2_enabled=True, threshold_2_energy=11_000.0)
    opening = backend.arm(arm_request(frames=1))
    backend.trigger(TriggerRequest())
    (frame,), _ = until_over(backend)
    low, high = (decode_part(part, blob) for part, blob in zip(frame.parts, frame.payload, strict=True))
    assert [part.name for part in frame.parts] == ["threshold_1", "threshold_2"]
    counted = (low < 65_535) & (high < 65_535)
    assert low[counted].sum() > high[counted].sum() > 0
    assert {"pixel_mask.threshold_1", "pixel_mask.threshold_2"} <= {part.name for part in opening.header.data}
    assert opening.header.acquisition.threshold_energy == (6000.0, 11_000.0)


# -- what did not come --------------------------------------------------------------------------


def test_images_that_the_detector_dropped_are_declared_with_the_next_and_the_end_says_why(
    make: Make, eiger2: RunningEiger
) -> None:
    backend = make()
    backend.arm(arm_request(frames=10))
    eiger2.fault("drop_images", image=3, images=2)
    backend.trigger(TriggerRequest())
    frames, ending = until_over(backend)
    assert numbers(frames) == [0, 1, 2, 5, 6, 7, 8, 9]
    assert [frame.frames_dropped for frame in frames if frame.frames_dropped] == [((3, 4),)]
    assert (ending.status, ending.frames_dropped) == ("failed", ())
    assert "2 images did not come (the DCU's stream says that it dropped 2)" in ending.reason


def test_in_mid_series_nothing_waits_for_a_dcu_that_does_not_say_how_many_it_dropped(
    make: Make, eiger2: RunningEiger
) -> None:
    backend = make(answer_timeout_s=20.0)
    backend.arm(arm_request("software", frames=4, triggers=None))
    eiger2.fault("drop_images", image=1)
    eiger2.fault("silence", key="stream/status/dropped")
    backend.trigger(TriggerRequest())
    assert read(backend, 3)[1].frames_dropped == ((1, 1),)
    began = time.monotonic()
    assert backend.why_lost(quickly=True) == ""
    assert time.monotonic() - began < 1.0
    eiger2.clear_faults()
    assert "1 images did not come (the DCU's stream says that it dropped 1)" in backend.why_lost()


def test_why_images_are_lost_is_known_in_mid_series_as_soon_as_the_dcu_was_looked_at(
    make: Make, eiger2: RunningEiger
) -> None:
    backend = make()
    backend.arm(arm_request("software", frames=4, triggers=None))
    eiger2.fault("drop_images", image=1)
    backend.trigger(TriggerRequest())
    read(backend, 3)
    deadline = time.monotonic() + DEADLINE_S
    while not (why := backend.why_lost(quickly=True)):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert "1 images did not come (the DCU's stream says that it dropped 1)" in why


def test_a_dcu_that_does_not_say_how_many_it_dropped_is_not_said_to_have_dropped_none(
    make: Make, eiger2: RunningEiger
) -> None:
    backend = make(answer_timeout_s=0.3)
    backend.arm(arm_request(frames=6))
    eiger2.fault("drop_images", image=3)
    eiger2.fault("silence", key="stream/status/dropped")
    backend.trigger(TriggerRequest())
    _, ending = until_over(backend)
    told = "1 images did not come (the DCU does not say how many its stream has dropped): nobody took them in time, or"
    assert ending.reason.startswith(told)
    eiger2.clear_faults()
    # Its last word, and nobody waits for another.
    assert backend.why_lost() == ending.reason


def test_images_that_were_dropped_at_the_end_are_declared_with_the_end(make: Make, eiger2: RunningEiger) -> None:
    backend = make()
    backend.arm(arm_request(frames=6))
    eiger2.fault("drop_images", image=4, images=2)
    backend.trigger(TriggerRequest())
    frames, ending = until_over(backend)
    assert numbers(frames) == [0, 1, 2, 3]
    assert (ending.status, ending.frames_dropped) == ("failed", ((4, 5),))


def test_a_gated_series_whose_last_image_was_dropped_ends_all_the_same(make: Make, eiger2: RunningEiger) -> None:
    backend = make(cable_mode="extg", exposures_per_image=1)
    backend.arm(arm_request("external", frames=1, triggers=3))
    eiger2.fault("drop_images", image=2)
    eiger2.pulse(count=3, width_s=0.001, period_s=0.002)
    frames, ending = until_over(backend)
    eiger2.clear_faults()
    assert numbers(frames) == [0, 1]
    assert (ending.status, ending.frames_dropped) == ("failed", ((2, 2),))


def test_images_of_a_trigger_that_do_not_come_are_not_waited_for(make: Make, eiger2: RunningEiger) -> None:
    backend = make(end_timeout_s=1.0)
    backend.arm(arm_request("software", frames=3, triggers=None))
    eiger2.fault("drop_images", image=2, images=1)
    backend.trigger(TriggerRequest())
    assert numbers(read_frames(backend)) == [0, 1]
    eiger2.clear_faults()
    backend.trigger(TriggerRequest())
    frames = read_frames(backend)
    assert (numbers(frames), frames[0].frames_dropped) == ([3, 4, 5], ((2, 2),))
    backend.disarm()
    rest(backend)
    ending = backend.ending()
    assert ending is not None
    assert ending.status == "failed"
    assert "1 images did not come" in ending.reason


def test_frames_that_are_taken_again_are_not_declared_as_lost(make: Make, eiger2: RunningEiger) -> None:
    backend = make(end_timeout_s=1.0)
    backend.arm(arm_request("software", frames=3, triggers=None))
    eiger2.fault("drop_images", image=2, images=1)
    backend.trigger(TriggerRequest())
    read_frames(backend)
    eiger2.clear_faults()
    backend.trigger(TriggerRequest(first_frame=0))
    assert numbers(read_frames(backend)) == [0, 1, 2]


def test_a_series_that_somebody_ended_at_the_detector_failed_and_says_how_far_it_came(
    make: Make, eiger2: RunningEiger
) -> None:
    backend = make(exposure_s=0.05)
    backend.arm(arm_request(frames=100))
    backend.trigger(TriggerRequest())
    read(backend, 2)
    eiger2.command("disarm")
    frames, ending = until_over(backend)
    assert (ending.status, ending.frames_dropped) == ("failed", ())
    assert f"the detector ended the series after {2 + len(frames)} of 100 images" in ending.reason


def test_the_series_is_over_when_the_detector_is_done_though_its_end_never_comes(
    make: Make, eiger2: RunningEiger
) -> None:
    backend = make(end_timeout_s=1.0)
    backend.arm(arm_request("software", frames=2, triggers=None))
    backend.trigger(TriggerRequest())
    read_frames(backend)
    eiger2.command("initialize", module="stream")
    eiger2.command("disarm")
    _, ending = until_over(backend)
    assert ending.reason == "the detector has left the series after 2 images; somebody ended it there?"


def test_another_client_that_arms_in_the_middle_is_a_fault_and_its_series_is_left_alone(
    make: Make, eiger2: RunningEiger
) -> None:
    backend = make()
    backend.arm(arm_request("software", frames=2, triggers=None))
    eiger2.command("initialize", module="stream")
    eiger2.command("disarm")
    eiger2.set("stream", mode="enabled", format="cbor", header_appendix="somebody else")
    eiger2.command("arm")
    with pytest.raises(HardwareError, match=r"another client has armed the detector .*one of them has to wait"):
        until_over(backend)
    backend.abort()
    assert eiger2.state == "ready"
