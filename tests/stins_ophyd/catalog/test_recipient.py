"""Which catalogue documents are for."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from stins_ophyd.catalog.recipient import Recipient, described, recipient_of
from stins_ophyd.catalog.spool import SpooledRun


def catalogue(folder: Path) -> SimpleNamespace:
    """What a client has of it, as far as it counts here."""
    folder.mkdir(exist_ok=True)
    return SimpleNamespace(metadata=described(folder), uri="http://127.0.0.1:8000/api/v1/metadata/")


def test_a_catalogue_is_the_same_one_each_time_also_where_it_was_moved(tmp_path: Path) -> None:
    first, other = recipient_of(catalogue(tmp_path / "a")), recipient_of(catalogue(tmp_path / "b"))
    assert (first.place, first.id == other.id) == (str(tmp_path / "a"), False)
    assert recipient_of(catalogue(tmp_path / "a")) == first
    (tmp_path / "a").rename(tmp_path / "c")
    assert recipient_of(catalogue(tmp_path / "c")) == Recipient(first.id, str(tmp_path / "c"))
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["id"]


def test_a_catalogue_that_several_open_first_at_once_is_one(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def opened(folder: Path) -> str:
        together.wait(10)
        return recipient_of(catalogue(folder)).id

    with ThreadPoolExecutor(8) as pool:
        for number in range(100):
            ids = set(pool.map(opened, [tmp_path / str(number)] * 8))
            assert len(ids) == 1
            assert "" not in ids


def test_a_server_that_says_nothing_of_itself_is_known_by_its_address() -> None:
    address = "https://tiled.example/api/v1/metadata/raw"
    assert recipient_of(SimpleNamespace(metadata={}, uri=address)) == Recipient(address, address)


def test_a_run_says_which_catalogue_it_is_for_and_has_its_own_documents_only(tmp_path: Path) -> None:
    recipient = Recipient("1", "/data/catalogue")
    with closing(SpooledRun.new(tmp_path, "a", recipient)) as run:
        run.append("start", {"uid": "a"})
        assert run.take() == [("start", {"uid": "a"})]
        assert run.take() == []
    with closing(SpooledRun.left(tmp_path / "a.jsonl")) as left:
        assert (left.recipient, list(left.everything()), left.take()) == (recipient, *[[("start", {"uid": "a"})]] * 2)


@pytest.mark.parametrize("first", [json.dumps({"name": "start", "doc": {}}).encode() + b"\n", b"\0" * 90, b""])
def test_a_file_from_before_or_a_damaged_one_does_not_say_so(tmp_path: Path, first: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(first)
    with closing(SpooledRun.left(tmp_path / "a.jsonl")) as left:
        assert left.recipient is None
        assert list(left.everything()) == ([("start", {})] if b"start" in first else [])
