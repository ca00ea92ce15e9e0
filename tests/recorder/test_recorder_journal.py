"""The journal: its last intact line counts, whatever a kill left of the file."""

import shutil
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stins_recorder.errors import RecorderError, StorageError
from stins_recorder.recording.journal import Journal, read_journal


class First(msgspec.Struct, frozen=True, tag="first"):
    name: str


class Later(msgspec.Struct, frozen=True, tag="later"):
    rows: int
    text: str = ""


Record: TypeAlias = First | Later
RECORDS: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def opened(root: Path, name: str = "r", **options: int) -> "Journal[Record]":
    return Journal(root, name, RECORDS, lock_wait_s=0.0, **options)


def reopened(journal: "Journal[Record]", root: Path) -> "Journal[Record]":
    journal.close()
    return opened(root)


def test_nothing_is_found_where_no_series_was_begun(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append(Later(1))
    assert journal.found == ()
    assert reopened(journal, tmp_path).found == ()


def test_the_first_and_the_last_record_are_found(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.begin(First("a\nb"))
    journal = reopened(journal, tmp_path)
    assert journal.found == (First("a\nb"),)
    for rows in range(10):
        journal.append(Later(rows))
    journal = reopened(journal, tmp_path)
    assert journal.found == (First("a\nb"), Later(9))
    journal.append(Later(10))
    assert reopened(journal, tmp_path).found == (First("a\nb"), Later(10))


def test_a_series_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.begin(First("a"))
    journal.append(Later(5))
    journal.begin(First("b"))
    assert reopened(journal, tmp_path).found == (First("b"),)


def test_the_file_stays_as_small_as_it_was_allocated(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.begin(First("a"))
    size = journal.path.stat().st_size
    for rows in range(3000):
        journal.append(Later(rows, "x" * 1000))
    assert journal.path.stat().st_size == size
    assert journal.path.stat().st_blocks * 512 >= size
    assert reopened(journal, tmp_path).found[-1] == Later(2999, "x" * 1000)


def test_a_line_that_outgrows_the_ring_gets_its_room(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.begin(First("a"))
    for rows, size in enumerate((10, 1 << 20, 5 << 20, 5 << 20, 10)):
        journal.append(Later(rows, "x" * size))
        assert read_journal(journal.path, RECORDS)[-1] == Later(rows, "x" * size)
    journal.close()


@settings(deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=30), st.data())
def test_a_line_torn_anywhere_leaves_the_one_before(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    journal = opened(tmp_path_factory.mktemp("journal"), ring_bytes=2000)
    journal.begin(First("a"))
    for rows, size in enumerate(sizes):
        journal.append(Later(rows, "x" * size))
    before = journal.path.read_bytes()
    journal.append(Later(99, "y" * data.draw(st.integers(0, 400))))
    after = journal.path.read_bytes()
    journal.close()
    changed = [place for place in range(len(after)) if after[place] != before[place]]
    cut = data.draw(st.sampled_from(changed))
    journal.path.write_bytes(after[:cut] + before[cut:])
    assert read_journal(journal.path, RECORDS)[-1] == Later(len(sizes) - 1, "x" * sizes[-1])


def test_garbage_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    for content in (b"", b"\0" * 5000, b"zzzzzzzz 1 {}\n", b"\n\n", b"abc"):
        path.write_bytes(content)
        assert read_journal(path, RECORDS) == ()
    assert read_journal(tmp_path / "none", RECORDS) == ()


def test_a_second_recorder_of_that_name_is_refused_by_name(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with pytest.raises(RecorderError, match=f"a recorder called 'r' is writing below {tmp_path} already"):
        opened(tmp_path)
    opened(tmp_path, "other").close()
    journal.close()
    journal.close()
    opened(tmp_path).close()


def test_a_root_that_is_gone_is_no_root_to_make(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the file or its folder is gone"):
        opened(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def made_again(root: Path) -> None:
    """As after a remount of a disk that was emptied."""
    shutil.rmtree(root)
    root.mkdir()


def test_below_a_root_that_was_made_again_the_next_series_has_its_journal_and_its_lock(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    journal = opened(root)
    journal.begin(First("a"))
    made_again(root)
    journal.begin(First("b"))
    journal.append(Later(1))
    assert read_journal(journal.path, RECORDS) == (First("b"), Later(1))
    with pytest.raises(RecorderError, match="a recorder called 'r' is writing below"):
        opened(root)
    journal.close()
    opened(root).close()


def test_a_series_is_refused_where_another_recorder_has_taken_the_lock_meanwhile(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    journal = opened(root)
    journal.begin(First("a"))
    made_again(root)
    other = opened(root)
    other.begin(First("other"))
    with pytest.raises(RecorderError, match="a recorder called 'r' is writing below"):
        journal.begin(First("b"))
    journal.append(Later(1))
    assert reopened(other, root).found == (First("other"),)
    journal.close()


def test_a_lock_that_was_given_back_is_there_for_the_next_series(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    journal = opened(root)
    made_again(root)
    other = opened(root)
    with pytest.raises(RecorderError, match="is writing below"):
        journal.hold()
    other.close()
    journal.begin(First("b"))
    assert reopened(journal, root).found == (First("b"),)
