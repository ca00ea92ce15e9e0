"""A PILATUS in a RunEngine: camserver's simulator, acquirer and recorder are real processes."""

import socket
from collections.abc import Callable, Generator, Iterator
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky import Msg, RunEngine
from bluesky.utils import FailedStatus
from ophyd.sim import SynAxis

from stins import StinsError
from stins.control import SeriesState
from stins_ophyd import DetectorTrigger, PilatusDetector, StinsDetector, TriggerInfo, fly_series
from stins_ophyd.beamline import DetectorProcesses
from stins_ophyd.plans.stubs import fly_run
from tests.stins_ophyd.chain import Bench, Documents
from tests.stins_ophyd.dectris_kit import PILATUS, PilatusHook, device, running

SHAPE = (40, 60)
SETTINGS = {"exposure_s": 0.005, "incident_energy": 12_000.0, "image_timeout_s": 0.5}


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DetectorProcesses]:
    folder = tmp_path_factory.mktemp("pilatus")
    ramdisk = str(folder / "ramdisk")
    with running("pilatus", folder, {**PILATUS, "folder": ramdisk}, folder_reserve_bytes=0, **SETTINGS) as processes:
        yield processes


@pytest.fixture(scope="module")
def hook(processes: DetectorProcesses) -> Iterator[PilatusHook]:
    hook = PilatusHook(processes)
    yield hook
    hook.close()


@pytest.fixture(scope="module")
def shared(processes: DetectorProcesses) -> Iterator[StinsDetector]:
    with device(processes) as detector:
        yield detector


@pytest.fixture
def pilatus(shared: StinsDetector, hook: PilatusHook) -> Iterator[StinsDetector]:
    """The device, idle and with the usual settings before and after."""
    shared.frames.put(1)
    yield shared
    hook.clear()
    shared.controller.reset()
    shared.apply(SETTINGS)


def images(detector: StinsDetector) -> np.ndarray:
    """What the last series' file has."""
    account = detector.controller.snapshot.recorder.series
    assert account.state is SeriesState.COMPLETE
    with h5py.File(account.file) as file:
        return np.asarray(file[account.dataset])


def test_the_backend_says_which_device_it_is(pilatus: StinsDetector) -> None:
    assert type(pilatus) is PilatusDetector


def test_images_of_a_count_are_int32_and_described_so(
    engine: RunEngine, pilatus: StinsDetector, documents: Documents
) -> None:
    engine(bp.count([pilatus], 2))
    (descriptor,) = documents.of("descriptor")
    assert descriptor["configuration"]["pilatus"]["data"]["pilatus_compression"] == "cbf"
    key = descriptor["data_keys"]["pilatus_image"]
    assert (key["shape"], key["dtype_numpy"]) == (list(SHAPE), "<i4")
    recorded = images(pilatus)
    assert (recorded.shape, recorded.dtype) == ((2, *SHAPE), np.dtype("<i4"))
    assert documents.of("event")[-1]["data"]["pilatus_total"] == pytest.approx(float(recorded[-1].sum()))


def test_a_detector_that_was_not_there_is_told_and_used_once_it_is(engine: RunEngine, pilatus: StinsDetector) -> None:
    port = pilatus.controller.read_acquirer().settings["port"]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        pilatus.apply({"port": listener.getsockname()[1]})
        with pytest.raises(StinsError, match="Connection refused; is camserver running there, and is the port right"):
            engine(bp.count([pilatus]))
    pilatus.apply({"port": port})
    # What was known of it is known again without a series.
    assert pilatus.controller.read_acquirer().frame.shape == SHAPE
    engine(bp.count([pilatus]))
    assert images(pilatus).shape == (1, *SHAPE)


def test_points_of_a_scan_may_have_several_frames(
    engine: RunEngine, pilatus: StinsDetector, documents: Documents
) -> None:
    pilatus.frames.put(2)
    engine(bp.scan([pilatus], SynAxis(name="motor"), 0, 1, 3))
    assert images(pilatus).shape == (6, *SHAPE)
    assert documents.indices == [(0, 1), (1, 2), (2, 3)]


def test_an_energy_is_moved_to_as_a_motor_is(engine: RunEngine, pilatus: StinsDetector) -> None:
    engine(bps.mv(pilatus.incident_energy, 10_000.0))
    read, described = pilatus.read_configuration(), pilatus.describe_configuration()
    assert read.keys() == described.keys()
    assert (read["pilatus_incident_energy"]["value"], described["pilatus_incident_energy"]["units"]) == (1e4, "eV")
    assert read["pilatus_threshold_energy"]["value"] == 5_000


def test_a_detector_that_is_trimmed_is_waited_for(engine: RunEngine, pilatus: StinsDetector, hook: PilatusHook) -> None:
    pilatus.apply({"answer_timeout_s": 0.5})
    pilatus.apply({"incident_energy": 8_000.0})
    hook.fault("slow", command="setenergy", seconds=2.5, times=1)
    engine(bps.mv(pilatus.incident_energy, 9_000.0))
    assert "is being trimmed" in pilatus.controller.read_acquirer().busy
    try:
        engine(bp.count([pilatus]))
        assert images(pilatus).shape == (1, *SHAPE)
        assert pilatus.read_configuration()["pilatus_threshold_energy"]["value"] == 4_500
    finally:
        pilatus.apply({"answer_timeout_s": 5.0})


def test_a_fly_series_runs_at_the_detectors_own_pace(
    engine: RunEngine, pilatus: StinsDetector, documents: Documents
) -> None:
    engine(fly_series(pilatus, 12, frames_per_event=3))
    assert images(pilatus).shape == (12, *SHAPE)
    assert documents.indices[-1][1] == 4


def test_pulses_of_a_cable_take_the_frames(
    engine: RunEngine, pilatus: StinsDetector, documents: Documents, hook: PilatusHook
) -> None:
    def plan() -> Generator[Msg, Any, Any]:
        info = TriggerInfo(number_of_events=6, trigger=DetectorTrigger.EXTERNAL_EDGE, events_per_kickoff=3)
        yield from bps.prepare(pilatus, info, wait=True)
        yield from bps.declare_stream(pilatus, name="primary", collect=True)
        yield from bps.clear_checkpoint()
        for _ in range(info.kickoffs):
            yield from bps.kickoff(pilatus, wait=True)
            assert hook.pulse(3) == 3
            yield from bps.collect_while_completing([pilatus], [pilatus], 0.1, "primary")

    engine(bpp.stage_wrapper(bpp.run_wrapper(plan()), [pilatus]))
    assert images(pilatus).shape == (6, *SHAPE)
    assert documents.indices[-1][1] == 6


def test_exposures_are_summed_for_one_series_only(
    engine: RunEngine, pilatus: StinsDetector, documents: Documents
) -> None:
    engine(fly_run(pilatus, TriggerInfo(2, exposures_per_collection=3)))
    assert documents.of("descriptor")[0]["configuration"]["pilatus"]["data"]["pilatus_exposures_per_frame"] == 3
    assert images(pilatus).shape == (2, *SHAPE)
    assert pilatus.controller.read_acquirer().settings["exposures_per_frame"] == 1


def test_an_image_that_never_appears_fails_the_plan(
    engine: RunEngine, pilatus: StinsDetector, documents: Documents, hook: PilatusHook
) -> None:
    # Longer than the controller's own deadline for silence, as by default: the acquirer is the one who knows.
    pilatus.apply({"image_timeout_s": pilatus.controller.deadlines.stall_s + 1})
    hook.fault("lose_image", image=2)
    with pytest.raises(FailedStatus) as error:
        engine(fly_series(pilatus, 200))
    # The acquirer says at once that one is missing, or the recorder which; why, the end of the series says.
    why = str(error.value)
    assert "1 frame is missing: 2" in why or "it had to drop 1 frame" in why
    assert "_000002.cbf did not appear within" in why
    assert "too slow for this rate" not in why
    series = pilatus.controller.snapshot.recorder.series
    # The plan gives up, but what the detector had taken is recorded: all that stood in the folder behind the lost one.
    assert (series.missing_frames, series.received, series.state) == (((2, 2),), 199, SeriesState.INCOMPLETE)
    assert "_000002.cbf did not appear within" in series.reason
    assert documents.stop["exit_status"] == "fail"
    # What was flushed before it is pointed at.
    assert documents.indices[-1][1] == 2


def test_a_run_that_fails_ends_the_series_and_the_next_one_works(engine: RunEngine, pilatus: StinsDetector) -> None:
    def gives_up() -> Generator[Msg, Any, Any]:
        yield from bps.prepare(pilatus, 1000, wait=True)
        yield from bps.kickoff(pilatus, wait=True)
        raise StinsError("something else failed")

    with pytest.raises(StinsError, match="something else failed"):
        engine(bpp.stage_wrapper(bpp.run_wrapper(gives_up()), [pilatus]))
    engine(bp.count([pilatus]))
    assert images(pilatus).shape == (1, *SHAPE)


def test_a_point_that_is_aborted_in_the_middle_leaves_the_detector_idle_and_the_next_one_works(
    engine: RunEngine, pilatus: StinsDetector, documents: Documents, run_until: Callable[..., None], hook: PilatusHook
) -> None:
    pilatus.apply({"exposure_s": 60.0})
    series = Bench(engine, pilatus, documents, run_until).abort_while_acquiring(bp.count([pilatus], 3))
    assert (series.state, "aborted" in series.reason) == (SeriesState.INCOMPLETE, True)
    assert not hook.busy
    pilatus.apply(SETTINGS)
    engine(bp.count([pilatus]))
    assert images(pilatus).shape == (1, *SHAPE)


def test_summed_exposures_are_no_stall(processes: DetectorProcesses, pilatus: StinsDetector) -> None:
    pilatus.apply({"exposure_s": 2.0, "exposures_per_frame": 5})
    try:
        # And the time that an image may be late.
        assert pilatus.controller.read_acquirer().interval_s == pytest.approx(10.5, abs=0.1)
    finally:
        pilatus.apply({"exposures_per_frame": 1})
