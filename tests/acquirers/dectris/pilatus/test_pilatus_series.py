"""Series: what the detector is told, what comes of it, and how it ends."""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from stins_acquirers.backend import BackendError, Ending, Frame, HardwareError
from stins_acquirers.bitshuffle import decode_part
from stins_acquirers.conformance import arm_request, read_frames
from stins_acquirers.dectris.pilatus import PilatusBackend
from stins_acquirers.simulate.camserver import Simulator

from stins.cbf import unpack
from stins.control import ArmRequest, TriggerRequest

DEADLINE_S = 20.0
#: Exposures that last until they are ended.
LONG: dict[str, Any] = {"exposure_s": 3600.0}

Make = Callable[..., PilatusBackend]


def pixels(frame: Frame) -> NDArray[Any]:
    (part,), (payload,) = frame.parts, frame.payload
    return unpack(payload) if part.compression == "cbf" else decode_part(part, payload)


def series(backend: PilatusBackend, request: ArmRequest) -> list[Frame]:
    backend.arm(request)
    backend.trigger(TriggerRequest())
    return read_frames(backend)


def until(backend: PilatusBackend, frames: int) -> list[Frame]:
    """The next frames, once they are there."""
    got: list[Frame] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(got) < frames:
        assert time.monotonic() < deadline, f"got {len(got)} frames, expected {frames}"
        got += backend.read(0.1)
    return got


@pytest.mark.parametrize("compression", ["cbf", "bslz4", "none"])
def test_frames_have_the_pixels_of_the_images(make: Make, camserver: Simulator, compression: str) -> None:
    frames = series(make(camserver, compression=compression), arm_request("internal", 4))
    for frame in frames:
        np.testing.assert_array_equal(pixels(frame), camserver.pixels(frame.number), f"frame {frame.number}")


def test_a_file_that_is_sent_as_it_is_is_not_touched(make: Make, camserver: Simulator) -> None:
    backend = make(camserver)
    backend.arm(arm_request("internal", 1))
    backend.trigger(TriggerRequest())
    (frame,) = until(backend, 1)
    (path,) = backend.settings.folder.iterdir()
    assert bytes(frame.payload[0]) == path.read_bytes()


# -- what is told and said ----------------------------------------------------------------------


def test_the_opening_says_what_the_detector_says_of_itself(make: Make, camserver: Simulator) -> None:
    settings = {"incident_energy": 12_000, "exposure_s": 0.01, "period_s": 0.02, "exposures_per_frame": 2}
    header = make(camserver, **settings, distance=0.2, beam_center_x=15, beam_center_y=10).arm(arm_request()).header
    detector, acquisition = header.detector, header.acquisition
    assert detector is not None
    assert acquisition is not None
    said = (detector.model, detector.serial_number, detector.firmware, detector.sensor_shape, detector.saturation_value)
    assert said == ("PILATUS3 300K", "00-0000", "7.9.0", (20, 30), 1_221_026)
    assert (acquisition.count_time, acquisition.frame_time) == (0.02, 0.04)
    assert (acquisition.incident_energy, acquisition.threshold_energy) == (12_000, (6_000,))
    assert header.detector_specific["camserver"]["temperatures_celsius"] == {"0": 31.4, "1": 25.8, "2": 28.6}


def test_the_first_frame_carries_the_header_of_its_image(make: Make, camserver: Simulator) -> None:
    mx = {"Oscillation_axis": "omega", "Start_angle": 10, "Angle_increment": 0.1}
    backend = make(camserver, distance=0.25, mx_settings=mx, header_string="sample 7")
    frames = series(backend, arm_request("internal", 2))
    remarks = frames[0].detector_specific["cbf_header"].split("\n")
    assert {"Detector_distance 0.25000 m", "Start_angle 10.0000 deg.", "sample 7", "Exposure_time 0.0020000 s"} <= set(
        remarks
    )
    assert set(frames[1].detector_specific) == {"folder_free"}


def test_each_start_goes_on_where_the_axis_stands(make: Make, camserver: Simulator) -> None:
    mx = {"Oscillation_axis": "omega", "Start_angle": 10, "Angle_increment": 0.5}
    backend = make(camserver, mx_settings=mx, header_string="sample 7")
    backend.arm(arm_request("software", frames=2, triggers=None))
    angles = []
    for _ in range(2):
        backend.trigger(TriggerRequest())
        for frame in read_frames(backend):
            angles += [line for line in bytes(frame.payload[0][:4000]).split(b"\r\n") if b"Start_angle" in line]
    assert angles == [b"# Start_angle %s deg." % angle for angle in (b"10.0000", b"10.5000", b"11.0000", b"11.5000")]


def test_angles_that_camserver_is_told_are_the_goniometer(make: Make, camserver: Simulator) -> None:
    mx = {"Oscillation_axis": "OMEGA", "Start_angle": 10, "Angle_increment": 0.1}
    acquisition = make(camserver, mx_settings=mx).arm(arm_request()).header.acquisition
    assert acquisition is not None
    (axis,) = acquisition.goniometer
    assert (axis.name, axis.start, axis.increment) == ("omega", 10.0, 0.1)


@pytest.mark.parametrize(("model", "readout"), [("pilatus2-300k", "3 ms"), ("pilatus3-300k", "0.95 ms")])
def test_a_period_that_the_detector_cannot_keep_is_refused(
    simulate: Callable[..., Simulator], make: Make, model: str, readout: str
) -> None:
    backend = make(simulate(model=model), exposure_s=0.01)
    with pytest.raises(BackendError, match=f"period_s: got 0.0105 s, expected 0 .* and {readout} that PILATUS"):
        backend.configure({"period_s": 0.0105})
    assert backend.settings.period_s == 0


def test_a_text_that_would_be_a_command_of_its_own_is_refused(make: Make, camserver: Simulator) -> None:
    backend = make(camserver)
    for change in ({"header_string": "a\nexit"}, {"mx_settings": {"Phi": "1\nexit"}}, {"camserver_folder": "/a b"}):
        with pytest.raises(Exception, match="expected printable ASCII"):
            backend.configure(change)


def test_frames_are_as_far_apart_as_the_detector_takes_them(make: Make, camserver: Simulator) -> None:
    frames = series(make(camserver, exposure_s=0.002, period_s=0.004), arm_request("internal", 3))
    times = [frame.acquisition_timestamp for frame in frames]
    assert [later - earlier for earlier, later in pairwise(times)] == [4_000_000, 4_000_000]
    assert abs(times[0] - time.time_ns()) < 60e9


# -- triggers -----------------------------------------------------------------------------------


def test_a_frame_can_be_taken_again_while_nobody_has_let_go_of_the_first(make: Make, camserver: Simulator) -> None:
    backend = make(camserver)
    backend.arm(arm_request("software", frames=2, triggers=None))
    backend.trigger(TriggerRequest())
    first = read_frames(backend)
    backend.trigger(TriggerRequest(first_frame=0))
    second = read_frames(backend)
    assert [frame.number for frame in first + second] == [0, 1, 0, 1]
    assert bytes(first[1].payload[0]) != bytes(second[1].payload[0])


def test_one_pulse_starts_all_frames_of_an_external_trigger(make: Make, camserver: Simulator) -> None:
    backend = make(camserver)
    backend.arm(arm_request("external", frames=3, triggers=1))
    assert camserver.trigger() == 1
    assert [frame.number for frame in read_frames(backend)] == [0, 1, 2]
    assert backend.ending() == Ending()


@pytest.mark.parametrize("cable_mode", ["trigger", "gate"])
def test_each_pulse_takes_a_frame(make: Make, camserver: Simulator, cable_mode: str) -> None:
    backend = make(camserver, cable_mode=cable_mode)
    backend.arm(arm_request("external", frames=1, triggers=3))
    for number in range(3):
        assert backend.read(0.01) == ()
        assert camserver.trigger(gate_s=0.002) == 1
        assert [frame.number for frame in until(backend, 1)] == [number]
    times = [frame.timestamp for frame in read_frames(backend)]
    assert times == sorted(times)
    assert backend.ending() == Ending()


def test_a_pulse_for_several_frames_each_is_refused(make: Make, camserver: Simulator) -> None:
    backend = make(camserver)
    with pytest.raises(BackendError, match="frames_per_trigger: got 2 for 3 external triggers"):
        backend.arm(arm_request("external", frames=2, triggers=3))
    with pytest.raises(BackendError, match="frames_per_trigger: got 2 for 1 external triggers with cable_mode 'gate'"):
        make(camserver, cable_mode="gate").arm(arm_request("external", frames=2, triggers=1))


@pytest.mark.parametrize("mode", ["internal", "external"])
def test_a_series_without_end_is_refused(make: Make, camserver: Simulator, mode: Any) -> None:
    with pytest.raises(BackendError, match="triggers: got null, expected a number"):
        make(camserver).arm(arm_request(mode, frames=1, triggers=None))


# -- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "twice"), [("pilatus2-300k", False), ("pilatus3-300k", True)])
def test_the_answers_to_an_abort_do_not_confuse_what_follows(
    simulate: Callable[..., Simulator], make: Make, model: str, *, twice: bool
) -> None:
    camserver = simulate(model=model, twice=twice)
    backend = make(camserver, **LONG)
    for _ in range(2):
        backend.arm(arm_request("internal", 4))
        backend.trigger(TriggerRequest())
        backend.abort()
    backend.configure({"exposure_s": 0.002})
    assert [frame.number for frame in series(backend, arm_request("internal", 4))] == [0, 1, 2, 3]
    assert backend.ending() == Ending()


def test_disarming_gives_what_was_taken(make: Make, camserver: Simulator) -> None:
    backend = make(camserver, exposure_s=0.01)
    backend.arm(arm_request("internal", 1000))
    backend.trigger(TriggerRequest())
    got = until(backend, 2)
    backend.disarm()
    got += read_frames(backend)
    assert [frame.number for frame in got] == list(range(len(got)))
    assert len(got) < 1000
    assert (backend.read(0.0), backend.triggered(), backend.ending()) == ((), False, None)


def test_disarming_before_the_first_pulse_gives_nothing(make: Make, camserver: Simulator) -> None:
    backend = make(camserver)
    backend.arm(arm_request("external", frames=1, triggers=3))
    backend.disarm()
    assert (backend.read(0.0), backend.triggered()) == ((), False)
    assert len(series(backend, arm_request("internal", 2))) == 2


def test_a_series_that_somebody_ends_at_camserver_says_which_images_are_missing(
    make: Make, camserver: Simulator
) -> None:
    backend = make(camserver, exposure_s=0.01, image_timeout_s=0.2)
    backend.arm(arm_request("internal", 1000))
    backend.trigger(TriggerRequest())
    until(backend, 1)
    camserver.interrupt()
    with pytest.raises(BackendError, match="the exposures ended with 'kill'"):
        read_frames(backend)


def test_what_is_under_way_when_the_acquirer_comes_is_not_ended_unasked(make: Make, camserver: Simulator) -> None:
    other = make(camserver, **LONG)
    other.arm(arm_request("internal", 4))
    other.trigger(TriggerRequest())
    other._camserver.close()  # as if its process had died
    backend = make(camserver)
    with pytest.raises(HardwareError, match="set `take_over` to true"):
        backend.arm(arm_request("internal", 2))
    backend.close()
    backend.configure({"take_over": True})
    assert len(series(backend, arm_request("internal", 2))) == 2


def test_who_comes_second_is_told_that_another_client_is_in_control(make: Make, camserver: Simulator) -> None:
    make(camserver)
    with pytest.raises(HardwareError, match=r"'imgpath .*Access denied.* if another client is in control there"):
        make(camserver).arm(arm_request("internal", 2))


def test_a_detector_without_gaps_is_told_by_name(simulate: Callable[..., Simulator], make: Make) -> None:
    camserver = simulate(model="pilatus3-100k")
    with pytest.raises(BackendError, match=r"'gapfill -1': .*set `gap_fill` to what it takes"):
        make(camserver).arm(arm_request())
    make(camserver, gap_fill=None)
