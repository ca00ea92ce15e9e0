"""What could not be salvaged at once is, later, without anybody's hand."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recorder_kit import Chain, Desk, wait_until
from stins_recorder.recording.journal import ASIDE, FOLDER, Journal
from stins_recorder.recording.records import RECORDS, Record
from stins_recorder.salvage import Salvaged, files_left
from stins_recorder.supervisor.salvager import Salvager


class Disk:
    """Salvages nothing while it is full."""

    def __init__(self) -> None:
        self.full = True
        self.tries: list[str] = []
        self.tried = threading.Condition()

    def salvage(self, path: Path, *, reason: str, given_up: bool) -> Salvaged:
        assert given_up
        with self.tried:
            self.tries.append(f"{path} {reason}")
            self.tried.notify_all()
        found = "lost" if self.full else "salvaged"
        return Salvaged(path=str(path), found=found, text="")


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def salvager(disk: Disk) -> Iterator[Salvager]:
    salvager = Salvager(disk.salvage)
    yield salvager
    salvager.close()


def test_a_file_is_salvaged_once_and_tried_again_where_that_failed(disk: Disk, salvager: Salvager) -> None:
    for _ in range(3):
        salvager.salvage("a.h5", "why")
    wait_until(lambda: salvager.notes == ("a.h5: lost: ",))
    disk.full = False
    wait_until(lambda: salvager._left)
    salvager.again()
    wait_until(lambda: salvager.notes == ("a.h5: salvaged: ",))
    salvager.again()
    salvager.salvage("a.h5", "why")
    salvager.salvage("b.h5", "why")
    wait_until(lambda: salvager.notes == ("a.h5: salvaged: ", "b.h5: salvaged: "))
    assert disk.tries == ["a.h5 why", "a.h5 why", "b.h5 why"]


def test_it_is_tried_again_by_itself_and_said_once(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    salvager = Salvager(disk.salvage, again_s=0.05)
    salvager.salvage("a.h5", "why")
    wait_until(lambda: len(disk.tries) > 2)
    disk.full = False
    wait_until(lambda: salvager.notes == ("a.h5: salvaged: ",))
    salvager.close()
    assert [record.message for record in caplog.records] == ["a.h5: lost: ", "a.h5: salvaged: "]


def left_behind(root: Path, name: str) -> Path:
    """A file that a recorder of that name had to leave, with its journal put aside."""
    root.mkdir(parents=True, exist_ok=True)
    journal: Journal[Record] = Journal(root, name, RECORDS)
    desk = Desk(root, journal=journal)
    desk.start(f"{name}.h5")
    desk.frames(0, 1, 2)
    desk.recording.flush()
    file = desk.recording._store.take()
    assert file is not None
    desk.recording._store.abandon(file)
    journal.discard()
    journal.close()
    return root / f"{name}.h5"


def test_what_recorders_before_had_to_leave_is_known_by_the_journals_put_aside(tmp_path: Path) -> None:
    mine, other, gone = (left_behind(tmp_path, name) for name in ("one", "one-two", "one-1"))
    gone.unlink()
    (tmp_path / FOLDER / f"one-7{ASIDE}").write_bytes(b"torn")
    assert files_left(tmp_path, "one") == [mine]
    assert files_left(tmp_path, "one-two") == [other]
    assert files_left(tmp_path, "nobody") == []


def test_a_recorder_that_starts_salvages_what_the_one_before_had_to_leave(
    start_chain: Callable[..., Chain], tmp_path: Path
) -> None:
    root = tmp_path / "recorder0" / "data"
    path = left_behind(root, "recorder")
    chain = start_chain()
    chain.recorder.wait_for(lambda s: any(note.startswith(f"{path}: salvaged") for note in s.notes))
    assert not list((root / FOLDER).glob(f"*{ASIDE}"))
