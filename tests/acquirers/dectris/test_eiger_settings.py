"""Settings go to the detector by its own names and types, and come back as it has them."""

from collections.abc import Callable, Iterator

import pytest
from stins_acquirers.backend import BackendError
from stins_acquirers.conformance import arm_request
from stins_acquirers.dectris import EigerBackend

from stins import StinsError
from stins.control import FrameDescription, TriggerRequest
from tests.acquirers.dectris.eiger_kit import numbers, read, until_over
from tests.acquirers.simulate_kit import RunningEiger, running_eiger

Make = Callable[..., EigerBackend]


@pytest.fixture(scope="module")
def pilatus4() -> Iterator[RunningEiger]:
    """A PILATUS4: four thresholds."""
    with running_eiger(model="pilatus4-1m") as eiger:
        yield eiger


@pytest.fixture(scope="module")
def old_eiger() -> Iterator[RunningEiger]:
    """An EIGER1 with its first server."""
    with running_eiger(model="eiger1-1m", api="1.6.0") as eiger:
        yield eiger


def test_a_new_backend_sets_the_detector_up_and_says_what_it_is(make: Make, eiger2: RunningEiger) -> None:
    backend = make(exposure_s=0.25, incident_energy=17_000.0)
    assert (eiger2.value("count_time"), eiger2.value("incident_energy")) == (0.25, 17_000.0)
    assert backend.describe() == FrameDescription(
        shape=(64, 48), dtype="uint32", compression="bslz4", times=("timestamp",)
    )


def test_what_is_null_is_left_alone_and_read(make: Make, eiger2: RunningEiger) -> None:
    eiger2.put("flatfield_correction_applied", False)
    assert make().settings.flatfield_correction is False
    assert eiger2.value("flatfield_correction_applied") is False


def test_an_integer_is_sent_as_a_float_where_the_key_holds_one(make: Make, eiger2: RunningEiger) -> None:
    make().configure({"exposure_s": 1, "incident_energy": 12_000})
    assert eiger2.value("count_time") == 1.0


def test_what_one_setting_changes_in_others_is_read_back(make: Make) -> None:
    backend = make(incident_energy=12_000.0)
    backend.configure({"incident_energy": 20_000.0})
    assert backend.settings.threshold_1_energy == 10_000.0


def test_the_period_is_the_shortest_for_the_exposure_unless_it_is_set(make: Make) -> None:
    backend = make(exposure_s=1.0)
    assert backend.settings.period_s == pytest.approx(1.0, abs=1e-6)
    backend.configure({"exposure_s": 0.1})
    assert backend.settings.period_s == pytest.approx(0.1, abs=1e-6)
    backend.configure({"period_s": 0.5})
    assert backend.settings.period_s == 0.5


def test_a_period_shorter_than_the_exposure_is_refused(make: Make) -> None:
    with pytest.raises(StinsError, match=r"period_s: got 0.1: expected 0 .*at least exposure_s, which is 0.2 s"):
        make().configure({"exposure_s": 0.2, "period_s": 0.1})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"incident_energy": 1e7}, "incident_energy: got 10000000.0, expected 8000 to 100000 eV"),
        ({"roi_mode": "9M"}, "roi_mode: got '9M', expected one of disabled, lines"),
        ({"threshold_3_enabled": True}, "threshold_3_enabled: .*this detector has no threshold/3/mode; set it to null"),
        ({"more": {"no_such_key": 1}}, "more.no_such_key: .*this detector has no no_such_key; take it out of `more`$"),
        ({"more": {"omega_strt": 1}}, "this detector has no omega_strt; take it out of `more`, or is it omega_start"),
        ({"more": {"omega_increment": "much"}}, "more.omega_increment: got 'much', expected a value of type float"),
        ({"more": {"description": "mine"}}, "more.description: .*doesn't let it be set"),
        ({"more": {"nimages": 2.5}}, "more.nimages: got 2.5"),
        ({"more": {"pixel_mask_applied": "yes"}}, "more.pixel_mask_applied: got 'yes', expected a value of type bool"),
    ],
)
def test_what_the_detector_would_refuse_is_refused_by_name_with_what_it_takes(
    make: Make, eiger2: RunningEiger, changes: dict[str, object], problem: str
) -> None:
    backend = make()
    before = backend.settings
    with pytest.raises(BackendError, match=problem):
        backend.configure({"exposure_s": 0.7, **changes})
    assert backend.settings == before
    assert eiger2.value("count_time") == 0.002


def test_a_value_that_the_detector_refuses_puts_the_others_back(make: Make, eiger2: RunningEiger) -> None:
    backend = make(exposure_s=0.3)
    before = backend.settings
    eiger2.fault("refuse", key="detector/config/count_time")
    with pytest.raises(BackendError, match=r"configure: PUT .*/config/count_time = 0.4: HTTP 400: .*expected .* s$"):
        backend.configure({"incident_energy": 15_000.0, "exposure_s": 0.4})
    assert backend.settings == before
    assert eiger2.value("incident_energy") == before.incident_energy


def test_a_region_of_interest_makes_smaller_frames(make: Make) -> None:
    backend = make(roi_mode="lines", roi_y_size=32)
    described = backend.describe()
    opening = backend.arm(arm_request())
    backend.trigger(TriggerRequest())
    (frame,), _ = until_over(backend)
    assert described is not None
    assert described.shape == opening.header.data[0].shape == frame.parts[0].shape == (32, 48)
    assert opening.header.acquisition.roi == "lines"


#: None of them as the simulated detector has it at first; under which key it stands.
OTHERWISE = {
    "counting_mode": ("retrigger", "counting_mode"),
    "auto_summation": (False, "auto_summation"),
    "extg_mode": ("hdr", "extg_mode"),
    "countrate_correction": (False, "countrate_correction_applied"),
    "flatfield_correction": (False, "flatfield_correction_applied"),
    "pixel_mask": (False, "pixel_mask_applied"),
    "mask_to_zero": (True, "mask_to_zero"),
    "virtual_pixel_correction": (False, "virtual_pixel_correction_applied"),
    "trigger_start_delay_s": (0.001, "trigger_start_delay"),
    "threshold_1_energy": (7000.0, "threshold/1/energy"),
}


def test_how_photons_are_counted_and_corrected_is_set_and_read_back_once_it_is_armed(
    make: Make, eiger2: RunningEiger
) -> None:
    wanted = {name: value for name, (value, _) in OTHERWISE.items()}
    backend = make()
    assert not [name for name in wanted if getattr(backend.settings, name) == wanted[name]]
    backend.configure(wanted)
    acquisition = backend.arm(arm_request()).header.acquisition
    assert {name: getattr(backend.settings, name) for name in wanted} == wanted
    assert {name: eiger2.value(key) for name, (_, key) in OTHERWISE.items()} == wanted
    applied = ("countrate_correction", "flatfield", "pixel_mask", "virtual_pixel_interpolation")
    assert [getattr(acquisition, f"{name}_applied") for name in applied] == [False] * 4


def test_other_keys_go_by_simplons_names_and_reach_the_series(make: Make) -> None:
    backend = make(more={"omega_start": 30, "omega_increment": 0.5}, distance=0.2, beam_center_x=20, beam_center_y=30)
    acquisition = backend.arm(arm_request()).header.acquisition
    (omega,) = acquisition.goniometer
    assert (omega.name, omega.start, omega.increment) == ("omega", 30.0, 0.5)
    assert (acquisition.distance, acquisition.beam_center_x, acquisition.beam_center_y) == (0.2, 20.0, 30.0)


def test_what_somebody_else_has_changed_is_set_again_when_it_is_armed(make: Make, eiger2: RunningEiger) -> None:
    backend = make(exposure_s=0.02, compression="lz4")
    eiger2.set(compression="bslz4", count_time=0.5)
    acquisition = backend.arm(arm_request()).header.acquisition
    assert acquisition.count_time == 0.02
    backend.trigger(TriggerRequest())
    assert read(backend, 1)[0].parts[0].compression == "lz4"


def test_a_detector_that_takes_an_image_is_not_configured(make: Make, eiger2: RunningEiger) -> None:
    backend = make()
    eiger2.command("arm")
    with pytest.raises(BackendError, match="configure: the detector's state is 'ready', expected 'idle'"):
        backend.configure({"exposure_s": 0.5})


def test_a_pilatus4_has_four_channels_and_their_difference(make: Make, pilatus4: RunningEiger) -> None:
    names = {f"threshold_{number}_enabled": True for number in (1, 2, 3, 4)}
    backend = make(pilatus4, **names)
    assert backend.settings.threshold_4_enabled is True
    opening = backend.arm(arm_request())
    parts = [part.name for part in opening.header.data if "." not in part.name]
    assert parts[:4] == ["threshold_1", "threshold_2", "threshold_3", "threshold_4"]
    assert len(opening.header.acquisition.threshold_energy) == 4


def test_the_difference_of_two_thresholds_is_a_channel(make: Make, pilatus4: RunningEiger) -> None:
    backend = make(pilatus4, threshold_1_energy=7000.0, threshold_2_energy=9000.0, difference_enabled=True)
    opening = backend.arm(arm_request())
    backend.trigger(TriggerRequest())
    assert "difference" in [part.name for part in read(backend, 1)[0].parts]
    assert opening.header.acquisition.channels["difference"].threshold_energy == (7000.0, 9000.0)


def test_an_old_eiger_is_found_out_and_driven_by_what_it_has(make: Make, old_eiger: RunningEiger) -> None:
    backend = make(old_eiger, stream_version="v1", threshold_1_energy=5000.0)
    assert old_eiger.value("threshold_energy") == 5000.0
    assert (backend.settings.threshold_1_energy, backend.settings.threshold_2_energy) == (5000.0, None)
    opening = backend.arm(arm_request(frames=2))
    backend.trigger(TriggerRequest())
    assert numbers(until_over(backend)[0]) == [0, 1]
    assert "EIGER1" in opening.header.detector.description


def test_a_detector_without_stream_v2_says_so(make: Make, old_eiger: RunningEiger) -> None:
    with pytest.raises(BackendError, match=r"this DCU has no stream v2 .*; set stream_version to v1"):
        make(old_eiger).arm(arm_request())


def test_what_the_detector_cannot_do_is_refused_with_what_it_can(make: Make, old_eiger: RunningEiger) -> None:
    backend = make(old_eiger, stream_version="v1", cable_mode="extg")
    with pytest.raises(BackendError, match="trigger_mode: got 'extg', expected one of exte, exts, inte, ints"):
        backend.arm(arm_request("external"))


def test_stream_v1_carries_one_channel() -> None:
    with pytest.raises(ValueError, match="expected false or null: stream_version v1 carries one channel"):
        EigerBackend.Settings(host="dcu", stream_version="v1", threshold_2_enabled=True)


def test_each_version_of_the_stream_has_a_port_of_its_own() -> None:
    assert (EigerBackend.Settings(host="dcu").port, EigerBackend.Settings(host="d", stream_version="v1").port) == (
        31_001,
        9999,
    )
