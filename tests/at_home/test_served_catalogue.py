"""A catalogue behind a port, in a process of its own: written from here, read from there, also while a series runs."""

import gc
import json
import runpy
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bluesky.plans as bp
import numpy as np
import pytest
from bluesky import RunEngine
from ophyd.sim import SynAxis, det
from tiled.queries import Key

from stins import RemoteError, StinsError
from stins.control import SeriesState
from stins_ophyd import (
    ServedCatalog,
    StaticPathProvider,
    StinsDetector,
    connect_catalog,
    make_detector,
    open_broker,
    record_runs,
)
from stins_ophyd.beamline import DetectorConfig, DetectorProcesses
from stins_ophyd.catalog import RunWriter
from stins_ophyd.catalog.recipient import Recipient, recipient_of
from stins_ophyd.catalog.spool import SpooledRun
from stins_ophyd.cli.catalogue import main
from tests.at_home.catalogue_kit import DEADLINE_S, sent, when
from tests.at_home.services import PROFILE
from tests.file_limit import disk_full_beyond
from tests.stins_ophyd.chain import PER_FILE, SETTINGS, SHAPE, Chain, Documents, reference

# Tiled's own: nothing that we could act on.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the catalogue is, and the files of two recorders."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def served(chain: Chain, segmenting: Chain, folder: Path) -> Iterator[ServedCatalog]:
    """One for all tests here."""
    readable = [chain.root, segmenting.root, folder / "duo"]
    with ServedCatalog(folder / "catalogue", readable, logs=folder) as served:
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


def test_a_series_of_two_recorders_is_read_while_it_runs_and_afterwards(
    *,
    engine: RunEngine,
    two_recorders: DetectorProcesses,
    documents: Documents,
    elsewhere: Any,
    recording: RunWriter,
) -> None:
    points, seen = 13, 9

    def look() -> Any:
        await_file(Path(documents.images[0]["uri"].removeprefix("file://localhost")))
        assert recording.wait(DEADLINE_S)
        run = elsewhere[documents.of("start")[0]["uid"]]
        images = run["primary"]["duo_image"]
        return run.metadata.get("stop"), images.read(), images[7], images[2:8:3]

    said = when(engine, "event", lambda doc: doc["seq_num"] == seen, look)
    with two_recorders.controller() as controller:
        controller.make_ready()
        duo = StinsDetector(name="duo", controller=controller, path_provider=StaticPathProvider())
        (uid,) = engine(bp.count([duo], points))
    frames = np.stack([reference(two_recorders.acquirer.ready.control, frame) for frame in range(points)])
    ((stop, whole, frame, piece),) = said
    assert stop is None
    assert np.array_equal(whole, frames[:seen])
    assert np.array_equal(frame, frames[7])
    assert np.array_equal(piece, frames[2:8:3])
    assert recording.wait(DEADLINE_S)
    images = elsewhere[uid]["primary"]["duo_image"]
    assert np.array_equal(images.read(), frames)
    assert np.array_equal(images[11], frames[11])
    assert np.array_equal(images[2:12:3], frames[2:12:3])


def await_file(file: Path) -> None:
    """One that shows the parts of several recorders is there some seconds after their first frames."""
    deadline = time.monotonic() + DEADLINE_S
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} is not there after {DEADLINE_S} s"
        time.sleep(0.05)


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
    *,
    engine: RunEngine,
    detector: StinsDetector,
    catalog: Any,
    served: ServedCatalog,
    recording: RunWriter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    served.process.send_signal(signal.SIGSTOP)
    try:
        (uid,) = engine(bp.count([detector], 3))
        (second,) = engine(bp.count([detector]))
        assert not recording.wait(0.5)
        # A session that ends meanwhile names each run that the catalogue lacks.
        assert not recording.stop(0.1)
        assert caplog.messages[-1].endswith(f": {uid}, {second}")
    finally:
        served.process.send_signal(signal.SIGCONT)
    assert recording.wait(DEADLINE_S)
    assert catalog[uid].metadata["stop"]["exit_status"] == "success"


def test_a_run_for_whose_documents_the_disk_has_no_room_is_set_aside_for_the_command(
    *,
    engine: RunEngine,
    documents: Documents,
    elsewhere: Any,
    served: ServedCatalog,
    recording: RunWriter,
    spool: Path,
    resend: Resend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ExitStack() as disk:
        full = lambda: disk.enter_context(disk_full_beyond(next(spool.iterdir()).stat().st_size))  # noqa: E731
        when(engine, "event", lambda doc: doc["seq_num"] == 2, full)
        (uid,) = engine(bp.count([det], 4))
    assert documents.stop["exit_status"] == "success"
    assert recording.wait(DEADLINE_S)  # else the command and this session would write the same run at once
    (kept,) = spool.iterdir()
    assert kept.name == f"{uid}.incomplete"
    assert all(part in caplog.messages[-1] for part in (uid, str(kept), "Is there room"))
    assert resend(spool, "--to", served.uri) == (0, f"{uid}: written\n")
    run = elsewhere[uid]
    assert (run.metadata.get("stop"), run["primary"]["det"].shape) == (None, (2,))


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
    again = {"uid": uid, "file": str(kept), "written": False, "problem": "", "other": ""}
    assert resend(spool, "--to", served.uri, "--json") == (0, json.dumps(again, separators=(",", ":")) + "\n")


def test_the_profile_records_in_the_served_catalogue_and_leaves_what_is_for_another(
    *,
    engine: RunEngine,
    detector: StinsDetector,
    served: ServedCatalog,
    elsewhere: Any,
    tmp_path: Path,
    resend: Resend,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("STINS_CATALOGUE", served.uri)
    spool, own = tmp_path / "unsent-documents", Recipient("its id", str(tmp_path / "catalogue"))
    left_behind(spool, "yesterday", own)
    session = SimpleNamespace(folder=tmp_path, data=tmp_path / "data")
    profile = runpy.run_path(str(PROFILE / "startup" / "20-catalogue.py"), {"RE": engine, "session": session})
    (uid,) = engine(bp.count([detector], 2))
    assert profile["catalog"][-1].metadata["start"]["uid"] == uid
    assert record_runs(engine, profile["catalog"], spool).stop()
    profile["catalog"].context.close()
    assert elsewhere[uid]["primary"]["det_image"].shape == (2, *SHAPE)
    assert f"another catalogue, {own.place}, and are left there" in caplog.messages[-1]

    status, said = resend(spool, "--to", served.uri)
    assert status == 1
    assert f"yesterday: could not be written: it was recorded for another catalogue, {own.place}" in said
    assert resend(spool, "--to", served.uri, "--any") == (0, "yesterday: written\n")
    assert elsewhere["yesterday"].metadata["stop"]["exit_status"] == "success"


def left_behind(spool: Path, uid: str, recipient: Recipient) -> None:
    """The documents of an empty run, which a session that ended left."""
    spool.mkdir()
    with closing(SpooledRun.new(spool, uid, recipient)) as run:
        run.append("start", {"uid": uid, "time": 0.0, "scan_id": 1})
        run.append("stop", {"uid": f"{uid}'s end", "run_start": uid, "time": 1.0, "exit_status": "success"})


def test_a_served_catalogue_is_the_one_in_its_folder_whatever_its_address(catalog: Any, folder: Path) -> None:
    own_id = (folder / "catalogue" / "id").read_text()
    assert recipient_of(catalog) == Recipient(own_id, str(folder / "catalogue"))


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


def test_a_server_that_is_gone_is_named_at_once(served: ServedCatalog, elsewhere: Any) -> None:
    """The last test here: it ends the server."""
    found = elsewhere.search(Key("plan_name") == "count")
    served.stop()
    began = time.monotonic()
    for ask in (lambda: elsewhere["0123"], lambda: elsewhere.v2[-1], lambda: len(elsewhere), lambda: found[-1]):
        with pytest.raises(RemoteError, match=rf"look for a run failed at {served.uri}: .*stins catalogue serve"):
            ask()
    assert time.monotonic() - began < 5
