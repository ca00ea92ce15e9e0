"""A catalogue behind a port, in a process of its own: written from here, read from there, also while a series runs."""

import gc
import io
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import numpy as np
import pytest
from bluesky import RunEngine
from ophyd.sim import SynAxis

from stins import RemoteError, StinsError
from stins.control import AcquirerStatus, SeriesState
from stins.daemon.client import DaemonClient
from stins_ophyd import (
    ServedCatalog,
    StaticPathProvider,
    StinsDetector,
    connect_catalog,
    fly_series,
    make_detector,
    open_broker,
    record_runs,
)
from stins_ophyd.beamline import DetectorConfig, DetectorProcesses
from stins_ophyd.catalog import RunWriter
from stins_ophyd.catalog.spool import SpooledRun
from stins_ophyd.cli.catalogue import main
from tests.at_home.catalogue_kit import DEADLINE_S, sent, when
from tests.stins_ophyd.chain import SETTINGS, SHAPE, Chain, Documents

# Tiled's own: nothing that we could act on.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PER_FILE = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the catalogue is, and the files of the detectors of this module."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def served(chain: Chain, folder: Path) -> Iterator[ServedCatalog]:
    """One for all tests here."""
    with ServedCatalog(folder / "catalogue", readable=[chain.root, folder], logs=folder) as served:
        yield served


@pytest.fixture(scope="module")
def catalog(served: ServedCatalog) -> Iterator[Any]:
    """The client of whoever records."""
    catalog = served.client()
    gc.collect()
    gc.freeze()  # Tiled's objects last: the leak check of each test need not walk them
    yield catalog
    catalog.context.close()


@pytest.fixture(scope="module")
def elsewhere(served: ServedCatalog) -> Iterator[Any]:
    """The client of somebody who only reads, and knows nothing of what is being recorded."""
    client = connect_catalog(served.uri, served.api_key)
    yield client
    client.context.close()


@pytest.fixture(scope="module")
def segmenting(folder: Path) -> Iterator[Chain]:
    """A chain whose recorder makes data files."""
    chain = Chain(folder / "segmenting", frames_per_file=PER_FILE)
    yield chain
    chain.stop()


@pytest.fixture
def segmented(segmenting: Chain) -> Iterator[StinsDetector]:
    """The device on that chain."""
    with segmenting.controller() as controller:
        controller.make_ready()
        controller.configure(SETTINGS)
        yield StinsDetector(name="seg", controller=controller, path_provider=StaticPathProvider())


@pytest.fixture(scope="module")
def two_recorders(folder: Path) -> Iterator[DetectorProcesses]:
    """A detector whose frames are dealt to two recorders, one of which makes data files."""
    config = DetectorConfig(
        acquirer={"backend": "simulated", "settings": {"shape": list(SHAPE), "pool": 4, **SETTINGS}},
        recorders=[{"frames_per_file": PER_FILE}, {}],
    )
    processes = DetectorProcesses("duo", config, folder / "duo", folder)
    yield processes
    processes.stop()


Resend = Callable[..., tuple[int, str]]


@pytest.fixture
def resend(served: ServedCatalog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Resend:
    """`stins catalogue resend`: its exit status, and what it says."""
    monkeypatch.setenv("TILED_API_KEY", served.api_key)
    return lambda *words: (main(["resend", *map(str, words)]), capsys.readouterr().out)


def test_a_scan_is_read_by_whoever_connects(
    engine: RunEngine, detector: StinsDetector, elsewhere: Any, chain: Chain, recording: RunWriter
) -> None:
    (uid,) = engine(bp.scan([detector], SynAxis(name="motor"), 0, 1, 4))
    assert recording.wait(DEADLINE_S)
    run = elsewhere[uid]
    images, frames = run["primary"]["det_image"], sent(chain, 4)
    assert np.array_equal(images.read(), frames)
    assert np.array_equal(images[2], frames[2])
    assert np.array_equal(images[1:3, 4:8, ::2], frames[1:3, 4:8, ::2])
    assert run["primary"]["motor"].read().tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert (elsewhere[-1].metadata["stop"]["exit_status"], elsewhere[uid[:8]].uri) == ("success", run.uri)
    assert {name for name, _ in run.documents()} >= {"start", "descriptor", "event", "stream_datum", "stop"}


def test_a_series_in_data_files_is_read_while_it_runs_and_afterwards(
    *,
    engine: RunEngine,
    segmented: StinsDetector,
    documents: Documents,
    elsewhere: Any,
    segmenting: Chain,
    recording: RunWriter,
) -> None:
    def look() -> Any:
        assert recording.wait(DEADLINE_S)
        run = elsewhere[documents.of("start")[0]["uid"]]
        images = run["primary"]["seg_image"]
        state = segmented.controller.snapshot.recorder.series.state
        return state, run.metadata.get("stop"), images.read(), images[PER_FILE], images[PER_FILE - 1 : PER_FILE + 1]

    said = when(engine, "event", lambda doc: doc["seq_num"] == PER_FILE + 2, look)
    (uid,) = engine(bp.count([segmented], 2 * PER_FILE + 1))
    frames = sent(segmenting, 2 * PER_FILE + 1)
    ((state, stop, whole, frame, piece),) = said
    assert (state, stop) == (SeriesState.OPEN, None)
    assert np.array_equal(whole, frames[: PER_FILE + 2])
    assert np.array_equal(frame, frames[PER_FILE])
    assert np.array_equal(piece, frames[PER_FILE - 1 : PER_FILE + 1])
    assert recording.wait(DEADLINE_S)
    assert np.array_equal(elsewhere[uid]["primary"]["seg_image"].read(), frames)
    file = Path(segmented.controller.snapshot.recorder.series.file)
    assert len(list(file.parent.glob(f"{file.stem}_data_*"))) == 3


def test_a_series_of_two_recorders_is_read_afterwards(
    engine: RunEngine, two_recorders: DetectorProcesses, elsewhere: Any, recording: RunWriter
) -> None:
    with two_recorders.controller() as controller:
        controller.make_ready()
        duo = StinsDetector(name="duo", controller=controller, path_provider=StaticPathProvider())
        (uid,) = engine(fly_series(duo, 13))
    acquirer = DaemonClient("acquirer", two_recorders.acquirer.ready.control, AcquirerStatus)
    frames = np.stack([np.load(io.BytesIO(acquirer.get(f"/reference/{frame}"))) for frame in range(13)])
    acquirer.close()
    assert recording.wait(DEADLINE_S)
    images = elsewhere[uid]["primary"]["duo_image"]
    assert np.array_equal(images.read(), frames)
    assert np.array_equal(images[11], frames[11])
    assert np.array_equal(images[2:12:3], frames[2:12:3])


@pytest.mark.parametrize("frames", [pytest.param(1, marks=pytest.mark.long), 3])
def test_resource_and_datum_are_the_same_pixels(
    *, engine: RunEngine, detector: StinsDetector, catalog: Any, chain: Chain, recording: RunWriter, frames: int
) -> None:
    older = make_detector("old", detector.controller, docs="resource", path_provider=StaticPathProvider())
    older.frames.put(frames)
    (uid,) = engine(bp.count([older], 3))
    expected = sent(chain, 3 * frames).reshape((3, *([frames] if frames > 1 else []), *SHAPE))
    assert np.array_equal(catalog[uid]["primary"]["old_image"].read(), expected)


@pytest.mark.usefixtures("recording")
def test_databroker_reads_the_run_and_leaves_the_catalogue_as_it_is(
    engine: RunEngine, detector: StinsDetector, catalog: Any, chain: Chain
) -> None:
    (uid,) = engine(bp.scan([detector], SynAxis(name="motor"), 0, 1, 3))
    broker = open_broker(catalog)
    header = broker[uid]
    frames = sent(chain, 3)
    assert header.stop["exit_status"] == "success"
    assert header.table()["det_total"].tolist() == [float(frame.sum()) for frame in frames]
    assert header.table()["motor"].tolist() == [0, 0.5, 1]
    assert np.array_equal(broker.v2[uid]["primary"]["data"]["det_image"].read(), frames)
    assert [each.start["uid"] for each in broker(plan_name="scan", uid=uid)] == [uid]
    assert np.array_equal(catalog[uid]["primary"]["det_image"].read(), frames)


def test_a_server_that_hangs_does_not_hold_up_a_run(
    engine: RunEngine, detector: StinsDetector, catalog: Any, served: ServedCatalog, recording: RunWriter
) -> None:
    served.process.send_signal(signal.SIGSTOP)
    try:
        (uid,) = engine(bp.count([detector], 3))
        assert not recording.wait(0.5)
    finally:
        served.process.send_signal(signal.SIGCONT)
    assert recording.wait(DEADLINE_S)
    assert catalog[uid].metadata["stop"]["exit_status"] == "success"


def test_what_was_kept_is_sent_by_the_command(
    *,
    engine: RunEngine,
    detector: StinsDetector,
    catalog: Any,
    served: ServedCatalog,
    spool: Path,
    resend: Resend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    locked_out = served.client()
    locked_out.context.api_key = "0123"
    writer = record_runs(engine, locked_out, spool)
    (uid,) = engine(bp.count([detector], 2))
    assert writer.stop()
    locked_out.context.close()
    assert "401" in caplog.messages[-1]
    (kept,) = spool.iterdir()
    documents = kept.read_bytes()
    assert resend(spool, "--to", served.uri) == (0, f"{uid}: written\n")
    assert catalog[uid]["primary"]["det_image"].shape == (2, *SHAPE)
    assert list(spool.iterdir()) == []

    kept.write_bytes(documents)
    again = {"uid": uid, "file": str(kept), "written": False, "problem": ""}
    assert resend(spool, "--to", served.uri, "--json") == (0, json.dumps(again, separators=(",", ":")) + "\n")


def test_documents_that_the_command_cannot_send_are_kept_and_named(
    served: ServedCatalog, tmp_path: Path, resend: Resend
) -> None:
    (tmp_path / "spoiled.jsonl").write_text("[]\n")
    with closing(SpooledRun.new(tmp_path, "held")):
        status, said = resend(tmp_path, "--to", served.uri)
    assert status == 1
    assert "spoiled: could not be written: StinsError: " in said
    assert "held: could not be written: a session that goes on has it" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["held.jsonl", "spoiled.jsonl"]


def test_the_command_makes_no_new_catalogue(tmp_path: Path) -> None:
    with pytest.raises(StinsError, match="no catalogue is there"):
        main(["resend", str(tmp_path), "--to", str(tmp_path / "mistyped")])
    with pytest.raises(StinsError, match="no such folder; expected the one that record_runs was given"):
        main(["resend", str(tmp_path / "mistyped"), "--to", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_key_and_a_server_that_is_not_there_are_named(served: ServedCatalog) -> None:
    with pytest.raises(RemoteError, match=f"catalogue: connect failed at {served.uri}: .*TILED_API_KEY"):
        connect_catalog(served.uri, "0123")
    with pytest.raises(RemoteError, match=r"http://127.0.0.1:1: .*stins catalogue serve"):
        connect_catalog("http://127.0.0.1:1", "0123")
