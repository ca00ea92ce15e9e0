"""What a user reads when something goes wrong: the exception and the stop document say the same, and what to do."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
from bluesky import Msg, RunEngine
from bluesky.utils import FailedStatus

from stins import StinsError
from stins_ophyd import DetectorTrigger, StaticPathProvider, StinsDetector, TriggerInfo, fly_series
from tests.stins_ophyd.chain import Documents

_PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "when-it-goes-wrong.md"
#: What differs from one machine to the next.
_LOCAL = [
    (r"http://127\.0\.0\.1:\d+", "http://ADDRESS"),
    (r"/[\w/.-]*/data\b", "/data"),
    (r"det_image-[\w-]+\.nxs", "det_image-UUID.nxs"),
    (r"[\d,]+\.\d [GMT]B", "N GB"),
    (r"messages \d+ to \d+", "messages N to N"),
]


def normalised(text: str) -> str:
    """The text without what differs from one machine to the next."""
    for pattern, placeholder in _LOCAL:
        text = re.sub(pattern, placeholder, text)
    return text


@pytest.fixture(scope="module")
def shown() -> str:
    """What the page for users shows."""
    return normalised(" ".join(_PAGE.read_text().split()))


def failure(engine: RunEngine, documents: Documents, plan: Any) -> str:
    """What the plan raised; where a run was open, its stop document says the same."""
    with pytest.raises((StinsError, FailedStatus)) as raised:
        engine(plan)
    text = str(raised.value)
    assert "FailedStatus" not in text
    if documents.of("start"):
        assert documents.stop["exit_status"] == "fail"
        assert documents.stop["reason"] == text
    return normalised(text)


def on_pulses(detector: StinsDetector, events: int, given: int) -> Iterator[Msg]:
    """A series that pulses trigger, of which only some come."""

    def run() -> Iterator[Msg]:
        info = TriggerInfo(events, DetectorTrigger.EXTERNAL_EDGE, exposure_timeout=1.0)
        yield from bps.prepare(detector, info, wait=True)
        yield from bps.declare_stream(detector, name="primary", collect=True)
        yield from bps.clear_checkpoint()
        yield from bps.kickoff(detector, wait=True)
        detector.controller.pulse(count=given)
        yield from bps.collect_while_completing([detector], [detector], 0.1, "primary")

    return bpp.stage_wrapper(bpp.run_wrapper(run()), [detector])


def test_a_missed_trigger(engine: RunEngine, detector: StinsDetector, documents: Documents, shown: str) -> None:
    assert failure(engine, documents, on_pulses(detector, 10, 7)) in shown


def test_a_stalled_frame(engine: RunEngine, detector: StinsDetector, documents: Documents, shown: str) -> None:
    detector.configure({"faults": [{"kind": "drop", "frame": 1}], "exposure_s": 0.01, "period_s": 0.01})
    assert failure(engine, documents, bp.count([detector], 3)) in shown


def test_a_lost_frame(engine: RunEngine, detector: StinsDetector, documents: Documents, shown: str) -> None:
    detector.configure({"faults": [{"kind": "drop", "frame": 5}], "exposure_s": 0.01, "period_s": 0.01})
    assert failure(engine, documents, fly_series(detector, 10)) in shown


def test_a_recorder_without_room(engine: RunEngine, detector: StinsDetector, documents: Documents, shown: str) -> None:
    detector.configure({"exposure_s": 0.01, "period_s": 0.01})
    assert failure(engine, documents, fly_series(detector, 1_000_000_000)) in shown


def test_a_folder_that_is_not_the_recorders(
    engine: RunEngine, detector: StinsDetector, documents: Documents, shown: str
) -> None:
    detector.path_provider = StaticPathProvider(directory_path="/elsewhere")
    assert failure(engine, documents, bp.count([detector])) in shown


def test_a_name_that_cannot_be_read_back(
    engine: RunEngine, detector: StinsDetector, documents: Documents, shown: str
) -> None:
    detector.path_provider = StaticPathProvider(lambda _: "lysozyme 1")
    assert failure(engine, documents, bp.count([detector])) in shown


def test_a_name_that_stands_already(
    engine: RunEngine, detector: StinsDetector, documents: Documents, shown: str
) -> None:
    detector.path_provider = StaticPathProvider(lambda _: "lysozyme_1")
    engine(bp.count([detector]))
    assert failure(engine, documents, bp.count([detector])) in shown
