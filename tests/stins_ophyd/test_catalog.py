"""What was sent is what the catalogue gives back, by the run's uid; a catalogue that fails costs no run."""

import gc
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import h5py
import hdf5plugin  # noqa: F401  # registers the filters
import numpy as np
import pytest
from bluesky import RunEngine
from ophyd.sim import SynAxis

from stins_ophyd import StinsDetector, fly_series, open_catalog, record_runs
from stins_ophyd.catalog import RunWriter
from tests.stins_ophyd.chain import SHAPE, Chain, Documents
from tests.stins_ophyd.dectris_kit import EIGER, device, running

# Tiled's own: nothing that we could act on.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using `httpx` with"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def catalog(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A new catalogue that may read the recorder's files."""
    catalog = open_catalog(tmp_path_factory.mktemp("catalogue"), readable=[chain.root])
    yield catalog
    catalog.context.close()
    # Tiled brings a million objects that last; without this each later test's leak check would walk all of them.
    gc.collect()
    gc.freeze()


@pytest.fixture
def recording(engine: RunEngine, catalog: Any, tmp_path: Path) -> Iterator[RunWriter]:
    """While it lives, runs are kept in the catalogue."""
    writer = record_runs(engine, catalog, tmp_path / "backup")
    yield writer
    writer.stop()
    assert list((tmp_path / "backup").iterdir()) == []


def sent(chain: Chain, frames: int) -> np.ndarray:
    """The frames as the acquirer says they were."""
    return np.stack([chain.reference(frame) for frame in range(frames)])


@pytest.mark.usefixtures("recording")
def test_a_scan_is_read_back_by_its_uid(engine: RunEngine, detector: StinsDetector, catalog: Any, chain: Chain) -> None:
    (uid,) = engine(bp.scan([detector], SynAxis(name="motor"), 0, 1, 4))
    run = catalog[uid]
    assert np.array_equal(run["primary"]["det_image"].read(), sent(chain, 4))
    assert np.array_equal(run["primary"]["det_image"][2], chain.reference(2))
    assert [float(x) for x in run["primary"]["det_total"].read()] == [float(f.sum()) for f in sent(chain, 4)]
    assert catalog[-1].metadata["start"]["uid"] == uid
    assert {name for name, _ in run.documents()} >= {"start", "descriptor", "event", "stream_datum", "stop"}


@pytest.mark.usefixtures("recording")
def test_several_frames_of_a_point_are_read_back_together(
    engine: RunEngine, detector: StinsDetector, catalog: Any, chain: Chain
) -> None:
    detector.frames.put(3)
    (uid,) = engine(bp.count([detector], 2))
    assert np.array_equal(catalog[uid]["primary"]["det_image"].read(), sent(chain, 6).reshape(2, 3, *SHAPE))


@pytest.mark.usefixtures("recording")
def test_a_fly_series_is_read_back(engine: RunEngine, detector: StinsDetector, catalog: Any, chain: Chain) -> None:
    (uid,) = engine(fly_series(detector, 40))
    (grouped,) = engine(fly_series(detector, 40, frames_per_event=4))
    assert np.array_equal(catalog[uid]["primary"]["det_image"].read(), sent(chain, 40))
    assert np.array_equal(catalog[grouped]["primary"]["det_image"].read(), sent(chain, 40).reshape(10, 4, *SHAPE))


@pytest.mark.usefixtures("recording")
def test_each_threshold_of_an_eiger_is_read_back(engine: RunEngine, catalog: Any, chain: Chain) -> None:
    settings = {"threshold_2_enabled": True, "threshold_2_energy": 9000.0}
    with running("eiger", chain.root / "eiger", EIGER, **settings) as processes, device(processes) as eiger:
        (uid,) = engine(bp.count([eiger], 2))
        path = eiger.controller.snapshot.recorder.series.file
    run = catalog[uid]["primary"]
    with h5py.File(path, swmr=True) as file:
        recorded = file["/entry/instrument/detector"]
        assert np.array_equal(run["eiger_image"].read(), recorded["data"])
        assert np.array_equal(run["eiger_threshold_2"].read(), recorded["threshold_2"])


def test_a_catalogue_opens_again_with_its_runs(
    engine: RunEngine, detector: StinsDetector, chain: Chain, tmp_path: Path
) -> None:
    first = open_catalog(tmp_path / "kept", readable=[chain.root])
    writer = record_runs(engine, first, tmp_path / "backup")
    (uid,) = engine(bp.count([detector]))
    writer.stop()
    first.context.close()
    again = open_catalog(tmp_path / "kept", readable=[chain.root])
    try:
        assert np.array_equal(again[uid]["primary"]["det_image"].read(), sent(chain, 1))
    finally:
        again.context.close()


def test_a_catalogue_that_fails_does_not_fail_the_run_and_its_documents_are_kept(
    engine: RunEngine, detector: StinsDetector, documents: Documents, chain: Chain, tmp_path: Path
) -> None:
    broken = open_catalog(tmp_path / "broken", readable=[chain.root])
    try:
        writer = record_runs(engine, broken, tmp_path / "backup")
        with sqlite3.connect(tmp_path / "broken" / "catalog.db") as database:
            database.execute("DROP TABLE data_sources")
        database.close()
        engine(bp.count([detector]))
        writer.stop()
    finally:
        broken.context.close()
    assert documents.stop["exit_status"] == "success"
    (kept,) = (tmp_path / "backup").iterdir()
    names = [json.loads(line)["name"] for line in kept.read_text().splitlines()]
    assert (names[0], names[-1]) == ("start", "stop")


def test_a_writer_that_raises_is_logged_once_in_a_run(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    def fails(name: str, doc: dict[str, Any]) -> None:
        raise OSError("no room")

    writer = RunWriter(fails, tmp_path)
    for name in ("start", "event", "stop"):
        writer(name, {})
    assert [record.message for record in caplog.records] == [
        f"the catalogue failed; documents of this run: see {tmp_path}"
    ]


def test_without_tiled_the_error_says_what_to_install(tmp_path: Path) -> None:
    """In an interpreter where it cannot be imported."""
    code = (
        "import sys; sys.modules['bluesky_tiled_plugins'] = None; "
        "import stins_ophyd; stins_ophyd.open_catalog(sys.argv[1])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 1
    assert "pip install 'stins-ophyd[tiled]'" in run.stderr
