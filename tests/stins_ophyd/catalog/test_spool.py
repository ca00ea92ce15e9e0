"""Documents on their way to a catalogue: kept on the disk, in order, by run."""

import errno
import json
import os
import threading
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from stins import StinsError
from stins_ophyd.catalog.routes import Routes
from stins_ophyd.catalog.spool import SpooledRun, left_in


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


def test_a_full_disk_is_an_error_and_not_half_a_line(tmp_path: Path) -> None:
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123  # no file of its own
        run = SpooledRun(tmp_path / "a.jsonl", full)
        with pytest.raises(OSError, match="No space left") as caught:
            run.append("start", {})
    assert caught.value.errno == errno.ENOSPC


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
