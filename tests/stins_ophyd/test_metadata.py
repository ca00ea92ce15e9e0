"""Meta data that outlast a session."""

from pathlib import Path

import pytest
from bluesky import RunEngine
from bluesky.plan_stubs import close_run, open_run

from stins import StinsError
from stins_ophyd import StoredMetadata


def empty_run():
    yield from open_run()
    yield from close_run()


def test_scan_numbers_go_on_in_the_next_session(tmp_path: Path) -> None:
    path = tmp_path / "new" / "metadata.json"
    for _ in range(2):
        engine = RunEngine(StoredMetadata(path), context_managers=[])
        engine.md["proposal"] = "2026-1"
        engine(empty_run())
    assert (engine.md["scan_id"], engine.md["proposal"]) == (2, "2026-1")


def test_what_is_removed_stays_removed(tmp_path: Path) -> None:
    metadata = StoredMetadata(tmp_path / "m.json")
    metadata.update(sample="Cu", user="x")
    del metadata["sample"]
    assert dict(StoredMetadata(tmp_path / "m.json")) == {"user": "x"}
    assert len(metadata) == 1


def test_a_value_that_cannot_be_kept_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    metadata = StoredMetadata(tmp_path / "m.json")
    metadata["scan_id"] = 7
    with pytest.raises(StinsError, match=r"sample: got .*, expected what JSON can hold"):
        metadata["sample"] = object()
    assert dict(metadata) == dict(StoredMetadata(tmp_path / "m.json")) == {"scan_id": 7}


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(StinsError, match=r"m\.json: "):
        StoredMetadata(tmp_path / "m.json")
