"""Resource and Datum documents: for tools that know no stream documents, the same pixels."""

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import bluesky.plans as bp
import event_model
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.protocols import WritesExternalAssets, WritesStreamAssets
from bluesky.utils import FailedStatus
from ophyd.sim import SynAxis

from stins import StinsError
from stins_ophyd import Controller, StaticPathProvider, StinsDetector, fly_series, make_detector
from stins_ophyd.dectris import EigerDetector
from stins_ophyd.handlers import StinsHandler
from stins_ophyd.resource_docs import with_resource_documents
from tests.at_home.catalogue_kit import sent
from tests.stins_ophyd.chain import SHAPE, Chain, Documents


@pytest.fixture
def older(controller: Controller) -> StinsDetector:
    """The device on the shared chain, with the older documents."""
    return make_detector("old", controller, docs="resource", path_provider=StaticPathProvider())


def handlers() -> dict[str, Any]:
    """Those that are installed, as databroker finds them."""
    return {point.name: point.load() for point in entry_points(group="databroker.handlers")}


@pytest.fixture
def filler() -> Iterator[event_model.Filler]:
    """What puts images in the place of their Datum, with the handlers that are installed."""
    with event_model.Filler(handlers(), inplace=True) as filler:
        yield filler


def filled(filler: event_model.Filler, documents: Documents) -> list[dict[str, np.ndarray]]:
    """The data of each event, with images."""
    for name, doc in documents.all:
        filler(name, doc)
    return [doc["data"] for doc in documents.of("event")]


def test_the_handler_is_found_by_its_entry_point() -> None:
    assert handlers()["STINS_HDF5"] is StinsHandler


def test_the_run_engine_sees_the_older_protocol(older: StinsDetector, detector: StinsDetector) -> None:
    assert isinstance(older, WritesExternalAssets)
    assert (isinstance(older, WritesStreamAssets), isinstance(detector, WritesStreamAssets)) == (False, True)
    assert issubclass(with_resource_documents(EigerDetector), EigerDetector)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_scan_is_filled_with_what_was_sent(
    *, engine: RunEngine, older: StinsDetector, documents: Documents, chain: Chain, filler: Any, frames: int
) -> None:
    older.frames.put(frames)
    engine(bp.scan([older], SynAxis(name="motor"), 0, 1, 4))
    expected = sent(chain, 4 * frames).reshape((4, *([frames] if frames > 1 else []), *SHAPE))
    names = [event["data"]["old_image"] for event in documents.of("event")]
    resource = names[0].partition("/")[0]
    assert names == [f"{resource}/{point}" for point in range(4)]
    assert [doc["datum_id"] for doc in documents.of("datum") if doc["resource"] == resource] == names
    assert list(documents.of("descriptor")[0]["data_keys"]["old_image"]["shape"]) == list(expected.shape[1:])
    assert np.array_equal([event["old_image"] for event in filled(filler, documents)], expected)


def test_both_kinds_of_device_stand_in_one_event(
    engine: RunEngine, older: StinsDetector, documents: Documents, chain: Chain, filler: event_model.Filler
) -> None:
    from ophyd.sim import det

    engine(bp.count([older, det], 2))
    assert [set(event) >= {"old_image", "old_total", "det"} for event in filled(filler, documents)] == [True, True]


def test_a_series_cannot_be_flown_and_is_told_why(engine: RunEngine, older: StinsDetector) -> None:
    with pytest.raises((FailedStatus, StinsError), match=r'kickoff: got a series to fly.* docs="stream"'):
        engine(fly_series(older, 4))
    assert older.controller.snapshot.acquirer.state.value == "idle"


def test_a_point_beyond_the_file_is_named(older: StinsDetector, engine: RunEngine, documents: Documents) -> None:
    engine(bp.count([older]))
    resource = documents.of("resource")[0]
    handler = StinsHandler(f"{resource['root']}/{resource['resource_path']}", **resource["resource_kwargs"])
    assert handler(point_number=0).shape == SHAPE
    with pytest.raises(IndexError, match="data has 1 frames, point 1 ends with 2"):
        handler(point_number=1)
