"""The folder: what is deleted when, what is left alone, and how full it may be."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stins_acquirers.backend import HardwareError
from stins_acquirers.dectris.pilatus.folder import ImageFolder, Room, Run

RUN, OTHER = Run.of("0123abcd", 0), Run.of("89ef4567", 3)


@pytest.fixture
def folder(tmp_path: Path) -> ImageFolder:
    (tmp_path / "notes.txt").write_text("of somebody else")
    (tmp_path / "stins_mine.cbf").write_bytes(b"of somebody else")
    return ImageFolder(tmp_path)


def put(folder: ImageFolder, run: Run, *frames: int, size: int = 1000) -> None:
    for frame in frames:
        (folder.path / run.name(frame)).write_bytes(bytes(size))


def names(folder: ImageFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


OTHERS = ["notes.txt", "stins_mine.cbf"]


def test_an_image_is_deleted_when_nobody_holds_it_any_more(folder: ImageFolder) -> None:
    put(folder, RUN, 0, 1)
    held = [folder.hold(RUN.name(frame), b"content") for frame in (0, 1)]
    del held[0]
    gc.collect()
    assert names(folder) == sorted([*OTHERS, RUN.name(1)])
    held.clear()
    gc.collect()
    assert names(folder) == OTHERS


def test_an_image_that_is_held_when_the_process_ends_stays(folder: ImageFolder) -> None:
    put(folder, RUN, 0)
    script = (
        "import sys, pathlib; from stins_acquirers.dectris.pilatus.folder import ImageFolder; "
        "held = ImageFolder(pathlib.Path(sys.argv[1])).hold(sys.argv[2], b'content')"
    )
    subprocess.run([sys.executable, "-c", script, str(folder.path), RUN.name(0)], check=True)
    assert RUN.name(0) in names(folder)


def test_images_of_a_run_are_found_in_order(folder: ImageFolder) -> None:
    put(folder, RUN, 11, 2, 7)
    put(folder, OTHER, 3)
    assert folder.frames(RUN) == [2, 7, 11]


def test_leftovers_stay_while_there_is_room(folder: ImageFolder) -> None:
    put(folder, OTHER, 0, 1)
    room = folder.make_room(0, 5000, RUN)
    assert (room.own, len(names(folder))) == (2000, 4)


def test_leftovers_make_room_oldest_first_and_nothing_else_does(folder: ImageFolder) -> None:
    put(folder, OTHER, 2, 1, 0)
    for age, frame in enumerate((2, 1, 0)):
        times = (1e9 + age, 1e9 + age)
        os.utime(folder.path / OTHER.name(frame), times)
    put(folder, RUN, 0)
    held = folder.hold(OTHER.name(2), b"needed")
    folder.make_room(0, 3000, RUN)
    assert names(folder) == sorted([*OTHERS, RUN.name(0), OTHER.name(2), OTHER.name(0)])
    del held


def test_the_folder_is_looked_through_once_however_many_leftovers_make_room(folder: ImageFolder) -> None:
    class Counting(ImageFolder):
        looks = 0

        def room(self) -> Room:
            self.looks += 1
            return super().room()

    put(folder, OTHER, *range(8))
    counting = Counting(folder.path)
    room = counting.make_room(0, 3000, RUN)
    assert (counting.looks, room.own) == (1, 3000)
    assert room.own == folder.room().own


def test_a_folder_without_room_is_a_fault_that_says_how_full_it_is(folder: ImageFolder) -> None:
    put(folder, RUN, 0, 1, size=2 << 20)
    with pytest.raises(
        HardwareError, match=r"is full: \S+ MiB of \S+ free, .* take 4 MiB of at most 1\. Is the recorder fast"
    ):
        folder.make_room(0, 1 << 20, RUN)
    with pytest.raises(HardwareError, match=r"is full: .* at least .* expected"):
        folder.make_room(1 << 60, None, RUN)
    assert len(folder.frames(RUN)) == 2


def test_leftovers_can_be_deleted_at_once(folder: ImageFolder) -> None:
    put(folder, RUN, 0)
    put(folder, OTHER, 0)
    folder.delete_leftovers()
    assert names(folder) == OTHERS


def test_a_folder_that_is_not_there_is_a_fault_that_says_what_it_must_be(tmp_path: Path) -> None:
    folder = ImageFolder(tmp_path / "nowhere")
    for use in (folder.check, folder.room, lambda: folder.frames(RUN)):
        with pytest.raises(HardwareError, match="nowhere: No such file or directory; `folder` must be where camserver"):
            use()
    assert folder.read("a.cbf") is None
