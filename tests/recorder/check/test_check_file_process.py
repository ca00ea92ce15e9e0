"""A file is read by a process of its own, which a damaged file may hang or kill."""

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from stins_recorder.check.file import check_file
from stins_recorder.check.reader import Step

from stins.findings import Report, Severity

Make = Callable[..., Path]


def check(path: Path, watch: Callable[[Step], None] = lambda step: None, timeout_s: float = 30.0) -> Report:
    return check_file(path, decode=True, timeout_s=timeout_s, watch=watch)


def test_a_healthy_file_has_no_finding_and_its_frames_are_counted(make: Make) -> None:
    report = check(make())
    assert report.findings.listed == []
    assert report.counts == {"rows": 5, "chunks": 5, "stored_bytes": 5 * 192, "frames": 5, "missing": 0}


def test_a_check_changes_nothing_of_the_file(make: Make) -> None:
    path = make()
    before = (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns)
    check(path)
    assert (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns) == before


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    """A file whose opening never returns, as that of a torn one may."""
    os.mkfifo(tmp_path / "torn.h5")
    return tmp_path / "torn.h5"


def test_a_reader_that_hangs_is_ended_and_the_finding_says_at_what(hanging: Path) -> None:
    (only,) = check(hanging, timeout_s=0.5).findings.listed
    assert (only.rule, only.severity) == ("file.timeout", Severity.ERROR)
    assert only.got == "no sign of life for 0.5 s while at opening the file"


def test_a_reader_that_dies_of_the_file_is_a_finding_with_its_signal(hanging: Path) -> None:
    others = set(psutil.Process().children())  # a recorder that tests share may be among them

    def kill(step: Step) -> None:
        for child in set(psutil.Process().children()) - others:
            child.send_signal(signal.SIGSEGV)

    (only,) = check(hanging, kill).findings.listed
    assert only.rule == "file.timeout"
    assert only.got == "a reader that died of SIGSEGV while at opening the file"


def test_control_characters_of_a_file_never_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31mred.h5"
    path.write_text("no HDF5")
    (only,) = check(path).findings.listed
    assert "\x1b" not in only.where
    assert "\\x1b[31mred.h5" in only.where
