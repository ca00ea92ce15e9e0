"""What was sent is what the catalogue gives back, by the run's uid, and the RunEngine never waits for it."""

import gc
import json
import logging
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import h5py
import hdf5plugin  # noqa: F401  # registers the filters
import numpy as np
import pytest
from bluesky import RunEngine
from ophyd.sim import SynAxis, det

from stins import StinsError
from stins.control import SeriesState
from stins_ophyd import Controller, StinsDetector, fly_series, open_catalog, record_runs, resend_runs
from stins_ophyd.catalog import RunWriter
from tests.at_home.catalogue_kit import DEADLINE_S, Reader, sent, when
from tests.stins_ophyd.chain import SHAPE, Chain, Documents
from tests.stins_ophyd.dectris_kit import EIGER, device, running

# Tiled's own: nothing that we could act on.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using `httpx` with"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the catalogue is."""
    return tmp_path_factory.mktemp("catalogue")


@pytest.fixture(scope="module")
def reader(chain: Chain, folder: Path) -> Iterator[Reader]:
    """Another process that opens the same catalogue, meanwhile."""
    reader = Reader(folder, chain.root)
    yield reader
    assert reader.end() in (0, -signal.SIGKILL)


@pytest.fixture(scope="module")
def catalog(chain: Chain, folder: Path, reader: Reader) -> Iterator[Any]:
    """A new catalogue that may read the recorder's files."""
    catalog = open_catalog(folder, readable=[chain.root])
    # Tiled brings a million objects that last; without this each test's leak check would walk all of them.
    gc.collect()
    gc.freeze()
    yield catalog
    catalog.context.close()


@contextmanager
def asked_of(catalog: Any) -> Iterator[list[str]]:
    """The requests that its server gets meanwhile, of whatever client in this process."""
    asked: list[str] = []
    http = catalog.context.http_client
    before = http.event_hooks
    http.event_hooks = {
        **before,
        "request": [*before["request"], lambda request: asked.append(f"{request.method} {request.url}")],
    }
    try:
        yield asked
    finally:
        http.event_hooks = before


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
@pytest.mark.parametrize("frames_per_event", [pytest.param(1, marks=pytest.mark.long), 4])
def test_every_stream_that_a_descriptor_tells_of_is_read_back(
    engine: RunEngine, detector: StinsDetector, catalog: Any, documents: Documents, frames_per_event: int
) -> None:
    """The image, and whatever else there is one of for each frame: as it stands in the file."""
    (uid,) = engine(fly_series(detector, 12, frames_per_event=frames_per_event))
    run, (descriptor,) = catalog[uid]["primary"], documents.of("descriptor")
    told = {doc["data_key"]: doc for doc in documents.of("stream_resource")}
    keys = [key for key, about in descriptor["data_keys"].items() if about.get("external") == "STREAM:"]
    assert "det_image" in keys
    for key in keys:
        with h5py.File(told[key]["uri"].removeprefix("file://localhost"), swmr=True) as file:
            recorded = file[told[key]["parameters"]["dataset"]][:12]
        events = recorded.reshape(12 // frames_per_event, *descriptor["data_keys"][key]["shape"])
        assert np.array_equal(run[key].read(), events), key
        assert np.array_equal(run[key][2], events[2]), key
        assert np.array_equal(run[key][1:3], events[1:3]), key


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


@pytest.mark.parametrize("frames", [pytest.param(1, marks=pytest.mark.long), 2])
def test_another_process_reads_along_while_points_are_taken(
    *,
    frames: int,
    engine: RunEngine,
    detector: StinsDetector,
    documents: Documents,
    chain: Chain,
    recording: RunWriter,
    reader: Reader,
) -> None:
    detector.frames.put(frames)

    def look() -> Any:
        assert recording.wait(DEADLINE_S)
        uid = documents.of("start")[0]["uid"]
        answers = [
            reader.ask(uid=uid, key=key, index=index)
            for key, index in (("det_image", 2), ("det_image", [1, 3]), ("det_total", None))
        ]
        series = detector.controller.snapshot.recorder.series
        return series.state, answers

    said = when(engine, "event", lambda doc: doc["seq_num"] == 3, look)
    (uid,) = engine(bp.count([detector], 5))
    points = sent(chain, 5 * frames).reshape(5, *([frames] if frames > 1 else []), *SHAPE)
    ((state, (point, piece, totals)),) = said
    assert (state, point["stop"]) == (SeriesState.OPEN, None)
    assert (point["shape"], point["values"]) == ([3, *points.shape[1:]], points[2].tolist())
    assert piece["values"] == points[1:3].tolist()
    assert totals["values"] == [
        float(frame.sum()) for frame in sent(chain, 5 * frames)[frames - 1 : 3 * frames : frames]
    ]
    assert recording.wait(DEADLINE_S)
    after = reader.ask(uid=uid, key="det_image", index=None)
    assert (after["values"], after["stop"]["exit_status"]) == (points.tolist(), "success")


def test_another_process_reads_along_while_a_series_flies(
    *,
    engine: RunEngine,
    detector: StinsDetector,
    documents: Documents,
    chain: Chain,
    recording: RunWriter,
    reader: Reader,
) -> None:
    detector.apply({"period_s": 0.03})

    def look() -> Any:
        assert recording.wait(DEADLINE_S)
        return reader.ask(uid=documents.of("start")[0]["uid"], key="det_image", index=None)

    said = when(engine, "stream_datum", lambda doc: doc["indices"]["stop"] >= 10, look)
    (uid,) = engine(fly_series(detector, 60))
    frames = sent(chain, 60)
    rows = said[0]["shape"][0]
    assert said[0] == {"shape": [rows, *SHAPE], "values": frames[:rows].tolist(), "stop": None}
    assert 10 <= rows < 60
    assert recording.wait(DEADLINE_S)
    assert reader.ask(uid=uid, key="det_image", index=59)["values"] == frames[59].tolist()


def test_another_process_reads_the_numbers_of_each_frame_along(
    *,
    engine: RunEngine,
    controller: Controller,
    documents: Documents,
    chain: Chain,
    recording: RunWriter,
    reader: Reader,
) -> None:
    detector = StinsDetector(name="det", controller=controller, numbers=("sum", "max"))
    detector.frames.put(2)

    def look() -> Any:
        assert recording.wait(DEADLINE_S)
        uid = documents.of("start")[0]["uid"]
        asked = (("det_frame_number", None), ("det_frame_sum", None), ("det_frame_max", [1, 2]))
        return [reader.ask(uid=uid, key=key, index=index)["values"] for key, index in asked]

    said = when(engine, "event", lambda doc: doc["seq_num"] == 2, look)
    (uid,) = engine(bp.count([detector], 3))
    frames = sent(chain, 6).reshape(3, 2, *SHAPE)
    sums, highest = frames.sum(axis=(2, 3)), frames.max(axis=(2, 3))
    assert said == [[[[0, 1], [2, 3]], sums[:2].tolist(), highest[1:2].tolist()]]
    assert recording.wait(DEADLINE_S)
    assert reader.ask(uid=uid, key="det_frame_sum", index=2)["values"] == sums[2].tolist()


def test_two_sessions_with_one_folder_send_each_its_own_runs(
    *,
    engine: RunEngine,
    catalog: Any,
    spool: Path,
    recording: RunWriter,
    reader: Reader,
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = when(engine, "event", lambda doc: doc["seq_num"] == 2, lambda: reader.ask(spool=str(spool), until="written"))
    (ours,) = engine(bp.count([det], 4))
    ((theirs, left),) = [(answer["uid"], answer["left"]) for answer in said]
    assert left == [f"{ours}.jsonl"]  # it goes on, and is not theirs to send
    assert recording.wait(DEADLINE_S)
    assert [catalog[uid]["primary"]["det"].shape for uid in (ours, theirs)] == [(4,), (3,)]
    assert [catalog[uid].metadata["stop"]["exit_status"] for uid in (ours, theirs)] == ["success"] * 2
    assert [record for record in caplog.records if record.name.startswith("stins")] == []


@pytest.mark.long
def test_a_session_that_ends_writes_its_last_run(catalog: Any, reader: Reader, tmp_path: Path) -> None:
    uid = reader.ask(spool=str(tmp_path / "theirs"), until="taken")["uid"]
    assert reader.end() == 0
    assert catalog[uid].metadata["stop"]["exit_status"] == "success"
    assert catalog[uid]["primary"]["det"].shape == (3,)
    assert list((tmp_path / "theirs").iterdir()) == []


def test_run_after_run_the_catalogue_writes_about_once_a_second(engine: RunEngine, catalog: Any, spool: Path) -> None:
    """Also while there is something left to send, which fails."""
    spool.mkdir()
    for number in range(4):
        (spool / f"spoiled{number}.jsonl").write_text("[]\n")
    points, began = (20, 150, 40), time.monotonic()
    with asked_of(catalog) as asked:
        writer = record_runs(engine, catalog, spool)
        uids = [engine(bp.count([det], number, delay=0.01))[0] for number in points]
        ran_s = time.monotonic() - began
        assert writer.stop()
    bursts = [request for request in asked if request.startswith("PATCH ") and "/table/partition/" in request]
    # And once more for each run, at its end.
    assert len(points) <= len(bursts) <= ran_s + len(points), bursts
    assert [catalog[uid]["primary"]["det"].shape for uid in uids] == [(number,) for number in points]


def test_a_catalogue_that_hangs_does_not_hold_up_a_run(
    *,
    engine: RunEngine,
    detector: StinsDetector,
    documents: Documents,
    catalog: Any,
    folder: Path,
    recording: RunWriter,
) -> None:
    with closing(sqlite3.connect(folder / "catalog.db", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        (uid,) = engine(bp.count([detector], 5))
        assert not recording.wait(1.5)  # it takes a fifth of that where nothing hangs
        database.execute("ROLLBACK")
    assert documents.stop["exit_status"] == "success"
    assert recording.wait(DEADLINE_S)
    assert catalog[uid]["primary"]["det_image"].shape == (5, *SHAPE)


def test_a_run_that_the_catalogue_failed_with_is_sent_by_the_next_session(
    *,
    engine: RunEngine,
    detector: StinsDetector,
    documents: Documents,
    catalog: Any,
    chain: Chain,
    folder: Path,
    spool: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with closing(sqlite3.connect(folder / "catalog.db")) as database:
        database.execute("ALTER TABLE data_sources RENAME TO away")
        writer = record_runs(engine, catalog, spool)
        (uid,) = engine(bp.count([detector]))
        writer.stop()
        database.execute("ALTER TABLE away RENAME TO data_sources")
    assert documents.stop["exit_status"] == "success"
    (kept,) = spool.iterdir()
    as_json = json.loads(json.dumps([{"name": name, "doc": doc} for name, doc in documents.all]))
    header, *lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert header == {"catalogue": {"id": (folder / "id").read_text(), "place": str(folder)}}
    assert lines == as_json
    complaint = caplog.messages[-1]
    assert all(part in complaint for part in (uid, "catalogue", str(kept), f"stins catalogue resend {spool}")), (
        complaint
    )

    writer = record_runs(engine, catalog, spool)
    assert writer.wait(DEADLINE_S)
    writer.stop()
    assert np.array_equal(catalog[uid]["primary"]["det_image"].read(), sent(chain, 1))
    assert catalog[uid].metadata["stop"] == documents.stop
    assert list(spool.iterdir()) == []


def test_the_run_of_a_session_that_was_killed_is_sent_by_the_next_one(
    engine: RunEngine, catalog: Any, spool: Path, reader: Reader
) -> None:
    uid = reader.ask(spool=str(spool), until="killed")["uid"]
    assert reader.end() == -signal.SIGKILL
    assert catalog[uid]["primary"]["det"].shape == (2,)
    writer = record_runs(engine, catalog, spool)
    assert writer.wait(DEADLINE_S)
    assert writer.stop()
    assert (catalog[uid].metadata.get("stop"), catalog[uid]["primary"]["det"].shape) == (None, (3,))
    assert list(spool.iterdir()) == []


def test_a_run_that_the_catalogue_has_is_not_sent_twice_by_the_session_after_one_that_was_killed_then(
    engine: RunEngine, catalog: Any, spool: Path, reader: Reader
) -> None:
    uid = reader.ask(spool=str(spool), until="all")["uid"]
    assert reader.end() == -signal.SIGKILL
    assert [path.name for path in spool.iterdir()] == [f"{uid}.jsonl"]
    before = list(catalog[uid].documents())
    with asked_of(catalog) as asked:
        writer = record_runs(engine, catalog, spool)
        assert writer.wait(DEADLINE_S)
        assert writer.stop()
    assert [request for request in asked if not request.startswith("GET ")] == []
    assert list(spool.iterdir()) == []
    assert list(catalog).count(uid) == 1
    assert list(catalog[uid].documents()) == before
    assert [name for name, _ in before].count("stop") == 1
    assert catalog[uid]["primary"]["seq_num"].read().tolist() == [1, 2, 3]


def test_a_file_that_lacks_what_the_catalogue_has_changes_nothing_there(
    engine: RunEngine, catalog: Any, spool: Path, recording: RunWriter
) -> None:
    files: list[bytes] = []
    documents = Documents()
    engine.subscribe(documents)

    def keep() -> None:
        (file,) = spool.glob("*.jsonl")
        files.append(file.read_bytes())
        assert recording.wait(DEADLINE_S)

    when(engine, "event", lambda doc: doc["seq_num"] == 3, keep)
    engine(bp.count([det], 3))
    uid = documents.of("start")[0]["uid"]
    catalog[uid].update_metadata({"stop": None})  # as one that a machine's death left
    beginning = files[0].splitlines(keepends=True)[:3]  # which catalogue it is for, start, descriptor
    (spool / f"{uid}.jsonl").write_bytes(b"".join(beginning) + b"\0" * 500)
    (resent,) = resend_runs(catalog, spool)
    assert "got 0 events of primary, expected at least the 3 that the catalogue has" in resent.problem
    assert catalog[uid]["primary"]["seq_num"].shape == (3,)
    (spool / f"{uid}.jsonl").unlink()


@pytest.mark.long
def test_a_run_that_becomes_another_while_it_is_written_is_written_anew(
    engine: RunEngine, catalog: Any, recording: RunWriter, caplog: pytest.LogCaptureFixture
) -> None:
    """A motor that stands at 0 says that it has whole numbers; the table has a column of them by then."""
    said = when(engine, "event", lambda doc: doc["seq_num"] == 1, lambda: recording.wait(DEADLINE_S))
    (uid,) = engine(bp.list_scan([], SynAxis(name="motor"), [0, 0.5, 1]))
    assert catalog[uid]["primary"]["motor"].read().tolist() == [0, 0.5, 1]
    assert said == [True]
    assert [record.levelno for record in caplog.records if record.name.startswith("stins")] == [logging.WARNING]


def test_recording_that_is_begun_again_goes_on_once(
    engine: RunEngine, catalog: Any, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record_runs(engine, catalog, spool)
    writer = record_runs(engine, catalog, spool)
    (uid,) = engine(bp.count([], 1))
    assert writer.stop()
    assert catalog[uid].metadata["stop"]["exit_status"] == "success"
    assert [record for record in caplog.records if record.name.startswith("stins")] == []


def test_documents_that_cannot_be_kept_do_not_fail_the_run(
    *,
    engine: RunEngine,
    detector: StinsDetector,
    documents: Documents,
    catalog: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = record_runs(engine, catalog, tmp_path / "unsent")
    (tmp_path / "unsent").rmdir()
    (uid,) = engine(bp.count([detector]))
    writer.stop()
    assert documents.stop["exit_status"] == "success"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert f"the documents of run {uid} cannot be kept in {tmp_path / 'unsent'}" in caplog.text


def test_a_catalogue_opens_again_with_its_runs(chain: Chain, catalog: Any, folder: Path) -> None:
    again = open_catalog(folder, readable=[chain.root])
    try:
        assert list(again) == list(catalog)
    finally:
        again.context.close()


def test_a_folder_that_cannot_be_made_is_said_in_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = rf"^catalogue: its folder {tmp_path}/file/x/data cannot be made: Not a directory"
    with pytest.raises(StinsError, match=text) as said:
        open_catalog(tmp_path / "file" / "x")
    assert said.value.__suppress_context__


_WITHOUT = """
import sys
sys.modules.update({"bluesky_tiled_plugins": None, "databroker": None})
import stins, stins_ophyd
for opening in (stins_ophyd.open_catalog, stins_ophyd.connect_catalog, stins_ophyd.open_broker):
    try:
        opening(sys.argv[1])
    except stins.StinsError as error:
        print(error)
"""


def test_without_tiled_or_databroker_the_error_says_what_to_install(tmp_path: Path) -> None:
    """In an interpreter where they cannot be imported."""
    command = [sys.executable, "-c", _WITHOUT, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    needs = "the catalogue needs {}; install it: pip install 'stins-ophyd[{}]'"
    wanted = [("bluesky_tiled_plugins", "tiled"), ("bluesky_tiled_plugins", "tiled"), ("databroker", "databroker")]
    assert run.stdout.splitlines() == [needs.format(*each) for each in wanted]
