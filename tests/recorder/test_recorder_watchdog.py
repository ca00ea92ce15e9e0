"""The page that tells a writer that hangs from one that works."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

from stins_recorder.watchdog import STEPS, HangWatch, WatchPage, watch_of


def test_a_step_is_seen_by_another_process_that_was_given_the_page() -> None:
    page = WatchPage()
    script = "import sys\nfrom stins_recorder.watchdog import watch_of\nwatch_of(int(sys.argv[1]))('flush')"
    command = [sys.executable, "-c", script, str(page.descriptor)]
    subprocess.run(command, pass_fds=[page.descriptor], timeout=60, check=True)
    assert page.read()[1] == "flush"
    page.close()
    page.close()


def test_two_calls_of_the_same_step_are_told_apart() -> None:
    page = WatchPage()
    watch, seen = watch_of(page.descriptor), []
    steps = [step for step in ("", *STEPS, "write", "write") if step != "sync"]
    for step in steps:
        watch(step)
        seen.append(page.read())
    assert [step for _, step in seen] == steps
    assert len({number for number, _ in seen}) == len(seen)
    page.close()


def test_what_is_done_beside_the_recording_is_told_from_what_the_recording_does() -> None:
    page = WatchPage()
    watch, seen = watch_of(page.descriptor), []
    for step in ("write", "sync", "", "flush", "synced", "sync"):
        watch(step)
        seen.append((page.read()[1], page.read(beside=True)[1]))
    assert seen == [
        ("write", ""), ("write", "sync"), ("", "sync"), ("flush", "sync"), ("flush", ""), ("flush", "sync"),
    ]  # fmt: skip
    page.close()


def test_a_call_hangs_from_when_it_was_first_seen() -> None:
    watch = HangWatch()
    assert watch.look((1, "write"), 10.0) == 0
    assert watch.look((1, "write"), 12.5) == 2.5
    assert watch.look((2, "write"), 13.0) == 0
    assert watch.look((2, "write"), 14.0) == 1
    assert watch.look((3, ""), 15.0) == 0
    assert watch.look((3, ""), 99.0) == 0, "a writer that is in no call has nothing to hang in"


def test_the_page_is_memory_and_nothing_on_a_disk() -> None:
    page = WatchPage()
    assert os.fstat(page.descriptor).st_size == mmap.PAGESIZE
    assert Path(f"/proc/self/fd/{page.descriptor}").readlink().name.startswith("memfd:stins-watch")
    page.close()
