"""An EIGER in a RunEngine: simulator, acquirer and recorder are real processes."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import hdf5plugin  # noqa: F401  # registers the filters
import numpy as np
import pytest
from bluesky import Msg, RunEngine
from bluesky.utils import FailedStatus
from ophyd.sim import SynAxis

from stins import StinsError
from stins.control import NumbersRequest, SeriesState
from stins_ophyd import DetectorTrigger, EigerDetector, StinsDetector, TriggerInfo, fly_series
from stins_ophyd.beamline import DetectorProcesses
from tests.stins_ophyd.chain import Bench, Documents
from tests.stins_ophyd.dectris_kit import EIGER, EigerHook, device, running, simulator_of

SHAPE = (64, 48)
SETTINGS = {"exposure_s": 0.005, "period_s": 0.01, "end_timeout_s": 3.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("eiger")


@pytest.fixture(scope="module")
def processes(folder: Path) -> Iterator[DetectorProcesses]:
    with running("eiger", folder, EIGER, **SETTINGS) as processes:
        yield processes


@pytest.fixture(scope="module")
def hook(processes: DetectorProcesses) -> Iterator[EigerHook]:
    hook = EigerHook(processes)
    yield hook
    hook.close()


@pytest.fixture(scope="module")
def shared(processes: DetectorProcesses) -> Iterator[StinsDetector]:
    with device(processes) as detector:
        yield detector


@pytest.fixture
def eiger(shared: StinsDetector, hook: EigerHook) -> Iterator[StinsDetector]:
    """The device, idle and with the usual settings before and after."""
    shared.frames.put(1)
    yield shared
    hook.clear()
    shared.controller.reset()
    shared.apply({"threshold_2_enabled": False, "difference_enabled": False, **SETTINGS})


def images(detector: StinsDetector, name: str = "data") -> np.ndarray:
    """What the last series' file has."""
    account = detector.controller.snapshot.recorder.series
    assert account.state is SeriesState.COMPLETE
    with h5py.File(account.file) as file:
        return np.asarray(file[f"/entry/instrument/detector/{name}"])


def cable(detector: StinsDetector, info: TriggerInfo, pulses: Any) -> Generator[Msg, Any, Any]:
    """A series that a cable triggers."""
    yield from bps.prepare(detector, info, wait=True)
    yield from bps.declare_stream(detector, name="primary", collect=True)
    yield from bps.clear_checkpoint()
    for _ in range(info.kickoffs):
        yield from bps.kickoff(detector, wait=True)
        pulses()
        yield from bps.collect_while_completing([detector], [detector], 0.1, "primary")


def test_the_backend_says_which_device_it_is(eiger: StinsDetector) -> None:
    assert type(eiger) is EigerDetector


def test_the_simulators_address_leads_a_check_to_its_stream_and_its_hook_is_named(processes: DetectorProcesses) -> None:
    simulator = simulator_of(processes)
    stream_port = simulator.acquirer["settings"]["stream_port"]
    assert simulator.places == {
        "simulator": f"{simulator.address}?stream_port={stream_port}",
        "hook": f"{simulator.address}/simulator",
    }


def test_a_count_has_each_frame_in_the_file_and_in_the_documents(
    engine: RunEngine, eiger: StinsDetector, documents: Documents
) -> None:
    engine(bp.count([eiger], 3))
    assert images(eiger).shape == (3, *SHAPE)
    assert documents.indices == [(0, 1), (1, 2), (2, 3)]
    # The detector flags the pixels of its mask with the highest number there is.
    counts = images(eiger, "pixel_mask") == 0
    assert not counts.all()
    assert [(event["data"]["eiger_total"], event["data"]["eiger_maximum"]) for event in documents.of("event")] == [
        (frame[counts].sum(), frame[counts].max()) for frame in images(eiger)
    ]


def test_points_of_a_scan_may_have_several_frames(
    engine: RunEngine, eiger: StinsDetector, documents: Documents
) -> None:
    eiger.frames.put(2)
    engine(bp.grid_scan([eiger], SynAxis(name="x"), 0, 1, 2, SynAxis(name="y"), 0, 1, 2))
    (descriptor,) = documents.of("descriptor")
    assert descriptor["data_keys"]["eiger_image"]["shape"] == [2, *SHAPE]
    assert images(eiger).shape == (8, *SHAPE)
    assert documents.indices[-1] == (3, 4)


@pytest.mark.parametrize("plan", ["put", "set", "move", "configure"])
def test_the_energy_is_set_as_any_signal_is(engine: RunEngine, eiger: StinsDetector, plan: str) -> None:
    energy = {"put": 8000.0, "set": 9000.0, "move": 10000.0, "configure": 11000.0}[plan]
    match plan:
        case "put":
            eiger.incident_energy.put(energy)
        case "set":
            eiger.incident_energy.set(energy).wait(20)
        case "move":
            engine(bps.mv(eiger.incident_energy, energy))
        case "configure":
            engine(bps.configure(eiger, {"incident_energy": energy}))
    read, described = eiger.read_configuration(), eiger.describe_configuration()
    assert read.keys() == described.keys()
    assert (read["eiger_incident_energy"]["value"], described["eiger_incident_energy"]["units"]) == (energy, "eV")
    # The detector sets its threshold with it.
    assert (read["eiger_threshold_1_energy"]["value"], described["eiger_threshold_1_energy"]["units"]) == (
        energy / 2,
        "eV",
    )


def test_what_is_not_set_is_not_in_the_configuration(engine: RunEngine, eiger: StinsDetector) -> None:
    engine(bps.configure(eiger, {"compression": "lz4"}))
    read = eiger.read_configuration()
    assert read["eiger_compression"]["value"] == "lz4"
    assert "eiger_threshold_3_energy" not in read


def test_a_refused_setting_fails_the_plan_by_name(engine: RunEngine, eiger: StinsDetector) -> None:
    with pytest.raises(FailedStatus) as error:
        engine(bps.mv(eiger.incident_energy, 1e9))
    assert "incident_energy: got 1000000000.0, expected" in str(error.value)


def test_a_fly_series_runs_at_the_detectors_own_pace(
    engine: RunEngine, eiger: StinsDetector, documents: Documents
) -> None:
    engine(fly_series(eiger, 20, frames_per_event=4, exposure_s=0.002))
    assert images(eiger).shape == (20, *SHAPE)
    assert documents.indices[-1][1] == 5
    assert documents.stop["exit_status"] == "success"


def test_pulses_of_a_cable_take_the_frames(
    engine: RunEngine, eiger: StinsDetector, documents: Documents, hook: EigerHook
) -> None:
    info = TriggerInfo(4, DetectorTrigger.EXTERNAL, collections_per_event=2, events_per_kickoff=2)
    plan = cable(eiger, info, lambda: hook.pulse(count=2, period_s=0.1))
    engine(bpp.stage_wrapper(bpp.run_wrapper(plan), [eiger]))
    assert images(eiger).shape == (8, *SHAPE)
    assert documents.indices[-1][1] == 4
    assert documents.stop["exit_status"] == "success"


@pytest.mark.parametrize(("exposures", "cable_mode"), [(1, "exte"), (2, "extg")])
def test_a_level_is_as_long_as_its_exposure(
    engine: RunEngine, eiger: StinsDetector, hook: EigerHook, exposures: int, cable_mode: str
) -> None:
    info = TriggerInfo(3, DetectorTrigger.EXTERNAL_LEVEL, exposures_per_collection=exposures)
    plan = cable(eiger, info, lambda: hook.pulse(count=3 * exposures, width_s=0.01, period_s=0.05))
    engine(bpp.stage_wrapper(bpp.run_wrapper(plan), [eiger]))
    assert images(eiger).shape == (3, *SHAPE)
    assert eiger.cable_mode.get() == cable_mode


def test_pulses_that_do_not_come_fail_the_plan_by_name(
    engine: RunEngine, eiger: StinsDetector, documents: Documents, hook: EigerHook
) -> None:
    info = TriggerInfo(number_of_events=3, trigger=DetectorTrigger.EXTERNAL_EDGE, exposure_timeout=0.01)
    with pytest.raises(FailedStatus) as error:
        engine(bpp.stage_wrapper(bpp.run_wrapper(cable(eiger, info, hook.pulse)), [eiger]))
    assert "it has sent 1 of 3; nothing moved" in str(error.value)
    assert "did the pulses come" in str(error.value)
    assert documents.stop["exit_status"] == "fail"


def test_frames_that_the_detector_dropped_fail_the_plan(
    engine: RunEngine, eiger: StinsDetector, documents: Documents, hook: EigerHook
) -> None:
    hook.fault("drop_images", image=3, images=2)
    with pytest.raises(FailedStatus) as error:
        engine(fly_series(eiger, 10))
    # The acquirer says so at once, with the DCU's word on it; which ones, the recorder says a moment later.
    why = str(error.value)
    assert "2 frames are missing: 3-4" in why or "had to drop 2 frames: " in why
    assert "2 images did not come (the DCU's stream says that it dropped 2): nobody took them in time" in why
    assert "too slow for this rate" not in why
    assert "nobody took them in time" in documents.stop["reason"]
    assert eiger.controller.snapshot.recorder.series.missing_frames[0] == (3, 4)
    assert "the DCU's stream says that it dropped 2" in eiger.controller.snapshot.recorder.series.reason
    assert documents.stop["exit_status"] == "fail"
    # What was flushed before them is pointed at.
    assert documents.indices[-1][1] == 3


def test_a_dropped_frame_of_a_point_fails_the_plan_and_is_missing_in_the_file_with_the_reason(
    engine: RunEngine, eiger: StinsDetector, hook: EigerHook
) -> None:
    # The plan is not to wait for the stream's silence: the DCU accounts for what is missing.
    eiger.apply({"end_timeout_s": 60.0})
    hook.fault("drop_images", image=2)
    with pytest.raises(FailedStatus) as error:
        engine(bp.count([eiger], 6))
    assert "had to drop 1 frame: 1 images did not come (the DCU's stream says that it dropped 1)" in str(error.value)
    assert "larger ring" not in str(error.value)
    assert "stream says that it dropped 1" in eiger.controller.snapshot.acquirer.drop_reason
    series = eiger.controller.snapshot.recorder.series
    assert series.missing_frames == ((2, 2),)
    assert "the DCU's stream says that it dropped 1" in series.reason


def test_a_run_that_is_aborted_ends_the_series_and_the_next_one_works(
    engine: RunEngine, eiger: StinsDetector, documents: Documents
) -> None:
    def gives_up() -> Generator[Msg, Any, Any]:
        yield from bps.prepare(eiger, 1000, wait=True)
        yield from bps.kickoff(eiger, wait=True)
        raise StinsError("something else failed")

    with pytest.raises(StinsError, match="something else failed"):
        engine(bpp.stage_wrapper(bpp.run_wrapper(gives_up()), [eiger]))
    assert eiger.controller.snapshot.recorder.series.state is SeriesState.INCOMPLETE
    engine(bp.count([eiger]))
    assert images(eiger).shape == (1, *SHAPE)


def test_a_point_that_is_aborted_in_the_middle_leaves_the_detector_idle_and_the_next_one_works(
    engine: RunEngine, eiger: StinsDetector, documents: Documents, run_until: Callable[..., None], hook: EigerHook
) -> None:
    eiger.apply({"exposure_s": 60.0, "period_s": 60.1})
    series = Bench(engine, eiger, documents, run_until).abort_while_acquiring(bp.count([eiger], 3))
    assert (series.state, "aborted" in series.reason) == (SeriesState.INCOMPLETE, True)
    assert not hook.busy
    eiger.apply(SETTINGS)
    engine(bp.count([eiger]))
    assert images(eiger).shape == (1, *SHAPE)


def test_each_threshold_is_a_dataset_and_a_data_key_of_its_own(
    engine: RunEngine, eiger: StinsDetector, documents: Documents
) -> None:
    engine(
        bps.configure(eiger, {"threshold_2_energy": 9000.0, "threshold_2_enabled": True, "difference_enabled": True})
    )
    engine(fly_series(eiger, 4))
    (descriptor,) = documents.of("descriptor")
    keys = {"eiger_image": "data", "eiger_threshold_2": "threshold_2", "eiger_difference": "difference"}
    image = descriptor["data_keys"]["eiger_image"]
    assert {key: descriptor["data_keys"][key] for key in keys} == dict.fromkeys(keys, image)
    resources = {
        doc["data_key"]: doc["parameters"]["dataset"].rpartition("/")[2] for doc in documents.of("stream_resource")
    }
    assert {key: resources[key] for key in keys} == keys
    for name in keys.values():
        assert images(eiger, name).shape == (4, *SHAPE)


def test_each_threshold_has_numbers_of_its_own(
    engine: RunEngine, eiger: StinsDetector, documents: Documents, numbered: None
) -> None:
    engine(bps.configure(eiger, {"threshold_2_energy": 9000.0, "threshold_2_enabled": True}))
    engine(bp.count([eiger], 2))
    names = {"eiger_sum": "data", "eiger_threshold_2_sum": "threshold_2"}
    sums = {}
    for name, dataset in names.items():
        frames = images(eiger, dataset)
        mask = images(eiger, f"threshold_{1 if dataset == 'data' else 2}_channel/pixel_mask")
        sums[name] = [int(frame[mask == 0].sum(dtype=int)) for frame in frames]
    assert [{name: event["data"][name] for name in names} for event in documents.of("event")] == [
        {name: sums[name][point] for name in names} for point in range(2)
    ]
    assert {*names} <= {*documents.of("descriptor")[0]["hints"]["eiger"]["fields"]}
    with h5py.File(eiger.controller.snapshot.recorder.series.file) as file:
        assert file["/entry/frame_numbers/threshold_2_sum"][()].tolist() == sums["eiger_threshold_2_sum"]
    streams = {doc["data_key"] for doc in documents.of("stream_resource")}
    assert {"eiger_frame_sum", "eiger_frame_threshold_2_sum"} <= streams
    # Without the second threshold nobody waits for its numbers.
    engine(bps.configure(eiger, {"threshold_2_enabled": False}))
    engine(bp.count([eiger], 1))
    assert "eiger_threshold_2_sum" not in documents.of("descriptor")[1]["data_keys"]


def test_a_channel_that_frames_do_not_have_is_refused(eiger: StinsDetector, numbered: None) -> None:
    eiger.numbers.ask(NumbersRequest(keys=("sum",), channels=("threshold_2",)))
    with pytest.raises(StinsError, match="got channel threshold_2, expected one that frames have: none"):
        eiger.describe()


@pytest.fixture
def numbered(eiger: StinsDetector) -> Iterator[None]:
    """The recorder computes sums."""
    eiger.numbers.ask("sum")
    yield
    eiger.numbers.ask(None)
