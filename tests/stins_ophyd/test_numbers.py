"""Numbers of each frame in the documents of plans, and in the file that these point at."""

from typing import Any

import bluesky.plans as bp
import h5py
import msgspec
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.callbacks import LiveTable
from ophyd.device import Staged
from ophyd.sim import SynAxis

from stins import StinsError
from stins.control import NumbersRequest, Region
from stins_ophyd import Controller, StinsDetector, fly_series
from tests.stins_ophyd.chain import Chain, Documents

SPOT = Region(name="spot", row=4, column=8, rows=10, columns=12)
ASKED = NumbersRequest(keys=("sum", "mean", "max", "saturated"), regions=(SPOT,))


@pytest.fixture
def counting(controller: Controller) -> StinsDetector:
    """A detector whose recorder computes numbers."""
    return StinsDetector(name="det", controller=controller, numbers=ASKED)


def stored(documents: Documents) -> dict[str, "np.ndarray[Any, Any]"]:
    """What the last run's documents point at, as far as they do."""
    found = {}
    uids = {doc["uid"] for doc in documents.of("descriptor")[-1:]}
    for resource in documents.of("stream_resource"):
        told = [doc for doc in documents.of("stream_datum") if doc["stream_resource"] == resource["uid"]]
        if {doc["descriptor"] for doc in told} & uids:
            with h5py.File(resource["uri"].removeprefix("file://localhost"), "r") as file:
                found[resource["data_key"]] = file[resource["parameters"]["dataset"]][: told[-1]["indices"]["stop"]]
    return found


def expected(chain: Chain, frames: int) -> dict[str, list[float]]:
    images = [chain.reference(frame) for frame in range(frames)]
    spots = [image[4:14, 8:20] for image in images]
    return {
        "frame_number": list(range(frames)),
        "frame_sum": [image.sum(dtype=int) for image in images],
        "frame_mean": [image.mean() for image in images],
        "frame_max": [image.max() for image in images],
        "frame_saturated": [(image == np.iinfo(image.dtype).max).sum() for image in images],
        "frame_spot_sum": [spot.sum(dtype=int) for spot in spots],
        "frame_spot_mean": [spot.mean() for spot in spots],
        "frame_spot_max": [spot.max() for spot in spots],
        "frame_spot_saturated": [(spot == np.iinfo(spot.dtype).max).sum() for spot in spots],
    }


def test_a_step_scan_has_them_as_values_and_as_streams(
    engine: RunEngine, counting: StinsDetector, documents: Documents, chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    engine(bp.count([counting], 3), LiveTable(["det_mean", "det_spot_sum"]))
    wanted = expected(chain, 3)
    found = stored(documents)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[f"det_{name}"], values, err_msg=name)
    data = [event["data"] for event in documents.of("event")]
    assert [point["det_mean"] for point in data] == pytest.approx(wanted["frame_mean"])
    assert [point["det_spot_sum"] for point in data] == pytest.approx(wanted["frame_spot_sum"])
    assert "det_spot_sum" in documents.of("descriptor")[-1]["hints"]["det"]["fields"]
    assert "det_mean" in capsys.readouterr().out


def test_a_flown_series_has_one_of_each_for_every_frame(
    engine: RunEngine, counting: StinsDetector, documents: Documents, chain: Chain
) -> None:
    engine(fly_series(counting, 20))
    assert documents.stop["exit_status"] == "success"
    found = stored(documents)
    for name, values in expected(chain, 20).items():
        np.testing.assert_allclose(found[f"det_{name}"], values, err_msg=name)


def test_a_point_of_several_frames_has_as_many_of_each(
    engine: RunEngine, counting: StinsDetector, documents: Documents
) -> None:
    counting.frames.set(4)
    engine(bp.count([counting], 2))
    keys = documents.of("descriptor")[-1]["data_keys"]
    assert (keys["det_frame_sum"]["shape"], keys["det_frame_sum"]["dtype"]) == ([4], "array")
    (resource,) = [doc for doc in documents.of("stream_resource") if doc["data_key"] == "det_frame_sum"]
    with h5py.File(resource["uri"].removeprefix("file://localhost"), "r") as file:
        sums = file[resource["parameters"]["dataset"]][()]
        assert np.array_equal(sums, file["/entry/data/data"][()].sum(axis=(1, 2)))
    assert [event["data"]["det_sum"] for event in documents.of("event")] == [sums[3], sums[7]]


def test_an_adaptive_plan_steers_by_a_region(
    engine: RunEngine, counting: StinsDetector, documents: Documents, motor: SynAxis
) -> None:
    plan = bp.adaptive_scan([counting], "det_spot_sum", motor, 0, 1, 0.2, 0.5, target_delta=1e12, backstep=False)
    engine(plan)
    assert documents.stop["exit_status"] == "success"
    assert len(documents.of("event")) > 1


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (["median"], "expected some of sum, mean, max, saturated"),
        (NumbersRequest(keys=()), "got no keys"),
        (NumbersRequest(keys=("sum",), regions=(SPOT, SPOT)), "a name of its own for each"),
        # det_frame_a_sum would be a point's number and a stream.
        (
            NumbersRequest(keys=("sum",), regions=(msgspec.structs.replace(SPOT, name="frame_a"),)),
            "none that begins so",
        ),
        (
            NumbersRequest(keys=("sum",), regions=(SPOT,), channels=("spot",)),
            r"got regions \['spot'\], channels \['spot'\], expected one number called spot_sum, not two",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused(controller: Controller, asked: Any, why: str) -> None:
    with pytest.raises(StinsError, match=why):
        StinsDetector(name="det", controller=controller, numbers=asked)


def test_others_are_asked_for_between_two_stagings(controller: Controller) -> None:
    detector = StinsDetector(name="det", controller=controller)
    assert not [key for key in detector.describe() if key.startswith("det_frame_sum")]
    detector.numbers.ask("sum")
    assert {"det_sum", "det_frame_sum"} <= detector.describe().keys()
    detector.stage()
    with pytest.raises(StinsError, match="the detector is staged"):
        detector.numbers.ask(None)
    detector.unstage()


def test_a_region_outside_the_frame_is_refused_before_anything_is_armed(controller: Controller) -> None:
    outside = Region(name="edge", row=30, column=0, rows=3, columns=1)
    detector = StinsDetector(
        name="det", controller=controller, numbers=NumbersRequest(keys=("sum",), regions=(outside,))
    )
    with pytest.raises(StinsError, match="region edge: got rows 30 to 32"):
        detector.describe()
    with pytest.raises(StinsError, match="region edge: got rows 30 to 32"):
        detector.stage()
    assert detector._staged is Staged.no
    detector.numbers.ask(["mean"])
    with pytest.raises(StinsError, match=r"frame of shape \[32, 48\]; ask for another by det.numbers.ask"):
        detector.numbers.ask(NumbersRequest(regions=(outside,)))
    assert detector.numbers.fields == ["det_mean"]


def test_what_is_asked_for_stands_once_in_the_table(controller: Controller) -> None:
    detector = StinsDetector(name="det", controller=controller, numbers=["mean"])
    assert detector.hints["fields"] == ["det_total", "det_maximum", "det_mean"]
    detector.numbers.ask(NumbersRequest(keys=("sum", "max"), regions=(SPOT,)))
    assert detector.hints["fields"] == ["det_sum", "det_max", "det_spot_sum", "det_spot_max"]
    assert {"det_total", "det_maximum", "det_sum"} <= detector.read().keys()


def test_sums_are_what_regions_are_for(controller: Controller) -> None:
    detector = StinsDetector(name="det", controller=controller, numbers=NumbersRequest(regions=(SPOT,)))
    assert detector.numbers.fields == ["det_sum", "det_spot_sum"]


def test_a_point_that_is_taken_again_has_the_numbers_of_its_last_take(
    controller: Controller, chain: Chain, filename: str
) -> None:
    series = controller.arm(filename, trigger_mode="software", triggers=None, numbers=ASKED)
    assert series.series_id is not None
    for first in (0, 1, 1):
        controller.wait_for(controller.trigger(first))
        numbered = controller.wait_for_numbers(series.series_id, first + 1)
    assert numbered is not None
    assert (numbered.numbers_rows, numbered.retaken) == (2, 1)
    last = numbered.numbers_values
    controller.disarm()
    closed = controller.wait_for_numbers(series.series_id, None)
    assert closed is not None
    assert closed.numbers_state == "complete"
    # What only closed their file takes nothing away: whoever asks last hears them too.
    assert closed.numbers_values == last
    with h5py.File(closed.file) as file:
        sums = file["/entry/data/data"][()].sum(axis=(1, 2))
        assert last["sum"] == sums[1]
        assert np.array_equal(file["/entry/frame_numbers/sum"][()], sums)
