"""Documents on their way to a catalogue: kept on the disk, in order, by run."""

import json
import os
import threading
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from stins import StinsError
from stins_ophyd.catalog.extent import extent_of
from stins_ophyd.catalog.routes import Routes
from stins_ophyd.catalog.spool import INCOMPLETE, SpooledRun, left_in
from tests.file_limit import disk_full_beyond


def test_what_is_appended_is_taken_once_and_again_from_the_beginning(tmp_path: Path) -> None:
    run = SpooledRun.new(tmp_path, "a")
    run.append("start", {"uid": "a"})
    assert run.take() == [("start", {"uid": "a"})]
    run.append("stop", {"run_start": "a"})
    assert (run.complete, run.take()) == (True, [("stop", {"run_start": "a"})])
    assert [name for name, _ in run.everything()] == ["start", "stop"]
    run.discard()
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_come_back_as_numbers_and_the_rest_as_text(tmp_path: Path) -> None:
    run = SpooledRun.new(tmp_path, "a")
    run.append("start", {"n": np.uint16(7), "a": np.eye(2), "x": float("nan"), "s": {1}, "p": Path("/x")})
    ((_, doc),) = run.take()
    run.close()
    assert np.isnan(doc.pop("x"))
    assert doc == {"n": 7, "a": [[1.0, 0.0], [0.0, 1.0]], "s": [1], "p": "/x"}


def test_a_run_that_a_session_holds_is_its_own(tmp_path: Path) -> None:
    held = SpooledRun.new(tmp_path, "held")
    held.append("start", {"uid": "held"})
    with pytest.raises(BlockingIOError):
        SpooledRun.left(held.path)
    held.close()
    left = SpooledRun.left(held.path)
    assert (left.uid, left.take()) == ("held", [("start", {"uid": "held"})])
    left.close()


def test_a_new_run_is_never_taken_for_one_that_was_left(tmp_path: Path) -> None:
    done, taken = threading.Event(), list[Path]()

    def look() -> None:
        while not done.is_set():
            for path in left_in(tmp_path):
                with suppress(BlockingIOError, FileNotFoundError), closing(SpooledRun.left(path)):
                    taken.append(path)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        runs = [SpooledRun.new(tmp_path, f"run{number}") for number in range(300)]
    finally:
        done.set()
        thread.join()
    for run in runs:
        run.close()
    assert taken == []


def test_a_second_run_of_one_uid_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with closing(SpooledRun.new(tmp_path, "a")):
        with pytest.raises(FileExistsError):
            SpooledRun.new(tmp_path, "a")
        assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_what_is_left_comes_by_age_and_without_what_has_gone_meanwhile(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.jsonl" for name in ("c", "a", "b")]
    for age, file in enumerate(files):
        file.touch()
        os.utime(file, (age, age))
    left = left_in(tmp_path)
    assert next(left) == files[0]
    files[1].unlink()
    assert list(left) == [files[2]]
    assert list(left_in(tmp_path / "gone")) == []


def test_a_line_that_its_process_did_not_finish_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"name": "start", "doc": {}}) + '\n{"name": "desc')
    with closing(SpooledRun.left(tmp_path / "a.jsonl")) as left:
        assert left.take() == [("start", {})]


def test_a_line_that_is_no_document_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("[]\n")
    with (
        closing(SpooledRun.left(tmp_path / "a.jsonl")) as left,
        pytest.raises(StinsError, match=r"a.jsonl: got the line b'\[\]\\n', expected a document"),
    ):
        left.take()


def test_a_disk_that_is_full_for_a_while_costs_no_document(tmp_path: Path) -> None:
    with closing(SpooledRun.new(tmp_path, "a")) as run:
        run.append("start", {"uid": "a"})
        with disk_full_beyond(run.path.stat().st_size + 10):
            run.append("descriptor", {"uid": "d"})
            assert run.take() == [("start", {"uid": "a"})]
        run.append("stop", {"run_start": "a"})
        assert (run.complete, [name for name, _ in run.take()]) == (True, ["descriptor", "stop"])


def test_a_disk_that_stays_full_is_an_error_at_the_end_and_the_file_is_set_aside(tmp_path: Path) -> None:
    run = SpooledRun.new(tmp_path, "a")
    run.append("start", {"uid": "a"})
    with (
        disk_full_beyond(run.path.stat().st_size + 10),
        pytest.raises(OSError, match=r"got room for 10 bytes|File too large"),
    ):
        run.append("stop", {"run_start": "a"})
    run.set_aside()
    assert list(left_in(tmp_path)) == []
    (aside,) = left_in(tmp_path, (INCOMPLETE,))
    with closing(SpooledRun.left(aside)) as left:
        assert (left.uid, list(left.everything())) == ("a", [("start", {"uid": "a"})])


@pytest.mark.parametrize("tail", [b'{"name": "ev', b"\0" * 100, b"[]\n"])
def test_a_file_with_a_damaged_end_is_read_up_to_there(tmp_path: Path, tail: bytes) -> None:
    whole = json.dumps({"name": "start", "doc": {}}).encode() + b"\n"
    (tmp_path / "a.jsonl").write_bytes(whole + tail)
    with closing(SpooledRun.left(tmp_path / "a.jsonl")) as left:
        assert list(left.everything()) == [("start", {})]
    (tmp_path / "a.jsonl").write_bytes(whole + b"[]\n" + whole)
    with closing(SpooledRun.left(tmp_path / "a.jsonl")) as left, pytest.raises(StinsError, match="expected a document"):
        list(left.everything())


def test_keys_that_json_has_not_are_text(tmp_path: Path) -> None:
    with closing(SpooledRun.new(tmp_path, "a")) as run:
        run.append("start", {"md": {np.int64(1): "a", (2, 3): {4: "b"}}})
        assert run.take() == [("start", {"md": {"1": "a", "(2, 3)": {"4": "b"}}})]


def test_how_far_documents_go_is_counted_by_stream() -> None:
    descriptors = [("descriptor", {"uid": uid, "name": name}) for uid, name in (("1", "primary"), ("2", "baseline"))]
    events = [("event", {"descriptor": "1"})] * 3 + [("event_page", {"descriptor": "2", "seq_num": [1, 2]})]
    datum = ("stream_datum", {"descriptor": "1", "indices": {"start": 2, "stop": 5}})
    assert extent_of([*descriptors, *events, datum]) == {"primary": 5, "baseline": 2}


def test_each_document_goes_to_its_run_though_two_go_on_at_once() -> None:
    routes = Routes()
    for run in "ab":
        assert routes.run_of("start", {"uid": run}) == run
        assert routes.run_of("descriptor", {"uid": f"d{run}", "run_start": run}) == run
        assert routes.run_of("resource", {"uid": f"r{run}", "run_start": run}) == run
        assert routes.run_of("stream_resource", {"uid": f"s{run}", "run_start": run}) == run
    assert routes.run_of("event", {"descriptor": "db"}) == "b"
    assert routes.run_of("stream_datum", {"descriptor": "da", "stream_resource": "sa"}) == "a"
    assert routes.run_of("datum", {"resource": "rb"}) == "b"
    routes.forget("a")
    with pytest.raises(KeyError):
        routes.run_of("event", {"descriptor": "da"})
    assert routes.run_of("stop", {"uid": "x", "run_start": "b"}) == "b"
