"""Series to look at, without a file."""

import bluesky.plans as bp
from bluesky import RunEngine

from stins.control import SeriesState
from stins_ophyd import StinsDetector
from tests.stins_ophyd.chain import Chain, Documents


def test_a_live_series_runs_to_its_end_and_leaves_no_file(chain: Chain, detector: StinsDetector) -> None:
    before = sorted(chain.root.rglob("*.nxs"))
    detector.recorded.put(False)
    detector.stage()
    detector.prepare(12).wait(20)
    detector.kickoff().wait(20)
    status = detector.complete()
    status.wait(20)
    detector.unstage()
    series = detector.controller.snapshot.recorder.series
    assert (series.state, series.received, series.file) == (SeriesState.COMPLETE, 12, None)
    assert sorted(chain.root.rglob("*.nxs")) == before


def test_points_without_a_file_have_their_numbers_and_no_image(
    engine: RunEngine, detector: StinsDetector, documents: Documents, chain: Chain
) -> None:
    detector.recorded.put(False)
    engine(bp.count([detector], 2))
    assert documents.stop["exit_status"] == "success"
    (descriptor,) = documents.of("descriptor")
    assert descriptor["data_keys"].keys() == {"det_total", "det_maximum"}
    assert descriptor["configuration"]["det"]["data_keys"]["det_recorded"]["dtype"] == "boolean"
    assert [event["data"]["det_total"] for event in documents.of("event")] == [
        float(chain.reference(frame).sum()) for frame in range(2)
    ]
    assert documents.of("stream_resource") == []
