"""`stins salvage`: whole in any case, twice is once, and never a file that somebody writes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import msgspec
import numpy as np
import psutil
import pytest
from recorder_kit import DATA, IMAGE, NUMBERS, SHAPE, Chain, Desk, compressed, image
from stins_recorder.check.file import check_file
from stins_recorder.check.opening import open_unlocked
from stins_recorder.recording.journal import ASIDE, FOLDER, Journal, read_journal
from stins_recorder.recording.records import RECORDS, Begun, Closing, Record
from stins_recorder.salvage import Salvaged
from stins_recorder.salvage.process import Order
from stins_recorder.salvage.work import salvage
from stins_recorder.storage import repair

from stins import Acquisition, Axis, Part
from stins.control import SeriesState
from stins.findings import Severity

StartChain = Callable[..., Chain]
BSLZ4 = Part(name="image", shape=SHAPE, dtype="uint16", compression="bslz4")
NAME = "dead.h5"


def recorded(root: Path, *, parts: Part = IMAGE) -> Path:
    """What a recorder leaves that was killed behind the flush of 10 frames, with 3 more not flushed and one missing."""
    root.mkdir(exist_ok=True)
    journal: Journal[Record] = Journal(root, "recorder", RECORDS)
    desk = Desk(root, journal=journal)
    desk.start(NAME, frames_expected=20)
    for number in (0, 1, 2, 3, 5, 6, 7, 8, 9):
        content = image(number).tobytes() if parts is IMAGE else compressed(number, hdf5plugin.Bitshuffle())
        desk.frame(number, content, data=(parts,))
        if number == 3:
            desk.lose(4)
    desk.give_up_gaps()
    desk.recording.flush()
    return desk.path


@pytest.fixture(params=["journal", "none"])
def dead(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The file of a killed writer."""
    path = killed(tmp_path / "data")
    if request.param == "none":
        shutil.rmtree(path.parent / FOLDER)
    return path


def killed(root: Path) -> Path:
    """It was a process of its own: what it did not flush is not in the file."""
    script = "import sys, os; from pathlib import Path; from test_recorder_salvage import recorded; "
    script += "recorded(Path(sys.argv[1])); os._exit(0)"
    subprocess.run([sys.executable, "-c", script, str(root)], cwd=Path(__file__).parent, timeout=60, check=True)
    return root / NAME


def salvaged(path: Path, reason: str = "its recorder died") -> Salvaged:
    return salvage(Order(str(path), reason, given_up=False))


def test_the_file_of_a_dead_recorder_is_made_whole_and_nothing_flushed_is_lost(dead: Path) -> None:
    found = salvaged(dead)
    assert (found.found, found.rows, found.missing) == ("salvaged", 10, 11), found
    with h5py.File(dead) as file:
        assert "end_time" in file["entry"]
        assert file["/entry/series/outcome"].asstr()[()] == "incomplete"
        assert file["/entry/series/reason"].asstr()[()].startswith("its recorder died; 11 frames are missing")
        np.testing.assert_array_equal(file["/entry/series/missing_frames"], [[4, 4], [10, 19]])
        np.testing.assert_array_equal(file[NUMBERS], np.arange(10))
        rows = [n for n in range(10) if n != 4]
        np.testing.assert_array_equal(file[DATA][rows], [image(n) for n in rows])
    report = check_file(dead, decode=True, timeout_s=30, watch=lambda _: None)
    assert report.findings.count(Severity.ERROR) == 0, report.findings.listed


def test_salvaging_twice_changes_nothing_the_second_time(dead: Path) -> None:
    salvaged(dead)
    before = dead.read_bytes(), dead.stat().st_mtime_ns
    assert salvaged(dead).found == "whole"
    assert (dead.read_bytes(), dead.stat().st_mtime_ns) == before


def test_a_recorder_that_is_started_afterwards_does_not_go_on_with_the_file(dead: Path) -> None:
    salvaged(dead)
    assert read_journal(dead.parent / FOLDER / "recorder.journal", RECORDS) == ()


def test_the_room_that_a_dead_recorder_held_is_given_back(tmp_path: Path) -> None:
    dead = killed(tmp_path / "data")
    other = dead.parent / FOLDER / "other.reserve"
    other.touch()
    assert other.with_name("recorder.reserve").exists()
    salvaged(dead)
    assert list((dead.parent / FOLDER).glob("*.reserve")) == [other]


def test_the_room_of_a_recorder_that_goes_on_without_the_file_is_left_to_it(tmp_path: Path) -> None:
    dead = killed(tmp_path / "data")
    folder = dead.parent / FOLDER
    (folder / "recorder.journal").rename(folder / f"recorder-7{ASIDE}")
    assert salvaged(dead).found == "salvaged"
    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == ["recorder.reserve"]


def test_it_says_that_the_recorder_could_have_gone_on_where_its_journal_shows_that(dead: Path) -> None:
    could = "its recorder could have gone on with this series, and will not any more: start the recorder first"
    journal = (dead.parent / FOLDER).exists()
    assert (could in salvaged(dead).text) == journal


def test_a_file_that_no_recorder_goes_on_with_after_a_start_of_the_machine_is_salvaged_without_regret(
    dead: Path,
) -> None:
    if (dead.parent / FOLDER).exists():
        rewrite_boot(dead.parent)
    found = salvaged(dead)
    assert (found.found, "could have gone on" in found.text) == ("salvaged", False)


def test_a_file_that_is_whole_is_left_as_it_is(desk: Desk) -> None:
    desk.series("good.h5", range(5))
    before = desk.path.read_bytes()
    assert salvaged(desk.path).found == "whole"
    assert desk.path.read_bytes() == before


def test_a_file_that_is_being_written_is_left_alone(chain: Chain) -> None:
    chain.start("busy.h5", id="busy")
    chain.frames(0, 1)
    chain.flushed(2)
    found = salvaged(chain.root / "busy.h5")
    assert found.found == "in use"
    assert "a recorder that lives goes on with it" in found.text
    chain.frames(2)
    chain.end()
    assert chain.recorder.wait_for_end("busy").state is SeriesState.COMPLETE


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", "got b'', expected the signature of"), (b"no HDF5" * 100, "got b'no HDF5n', expected the signature of")],
)
def test_what_is_no_hdf5_is_lost_and_not_changed(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "odd.h5"
    path.write_bytes(content)
    found = salvaged(path)
    assert found.found == "lost"
    assert found.text.startswith(text)
    assert path.read_bytes() == content


def test_a_folder_and_what_is_not_there_are_named_as_such(tmp_path: Path) -> None:
    assert salvaged(tmp_path).text == "it is a folder; name the files in it"
    assert salvaged(tmp_path / "none.h5").text == "no such file"
    assert {salvaged(tmp_path).found, salvaged(tmp_path / "none.h5").found} == {"not done"}


def test_the_data_files_of_a_series_are_made_whole_with_it_and_not_by_themselves(tmp_path: Path) -> None:
    desk = Desk(tmp_path, frames_per_file=4)
    desk.start(NAME)
    desk.frames(0, 1, 2)
    desk.lose(3)
    desk.frames(*range(4, 10))
    desk.give_up_gaps()
    desk.recording.flush()
    left = tmp_path / "left"
    left.mkdir()
    for path in tmp_path.glob("*.h5"):
        shutil.copy(path, left)
    desk.end()

    passed, open_ = left / "dead_data_000001.h5", left / "dead_data_000003.h5"
    before = open_.read_bytes()
    assert (salvaged(open_).found, open_.read_bytes()) == ("not done", before)
    assert f"not closed; stins salvage {NAME} closes it" in salvaged(open_).text
    assert salvaged(passed).found == "whole"
    assert salvaged(left / NAME).rows == 10
    assert salvaged(open_).found == "whole"
    assert f"a data file of {NAME}, and closed" in salvaged(open_).text
    report = check_file(left / NAME, decode=True, timeout_s=30, watch=lambda _: None)
    assert {finding.rule for finding in report.findings.listed} == {"frames.incomplete"}
    assert (report.counts["data_files"], report.counts["frames"]) == (3, 9)


@pytest.mark.parametrize("percent", [50, 97, 99])
@pytest.mark.parametrize("part", [IMAGE, BSLZ4], ids=["none", "bslz4"])
def test_the_copy_of_a_closed_file_that_was_cut_off_is_cut_short_and_not_changed(
    desk: Desk, part: Part, percent: int
) -> None:
    desk.start("whole.h5", data=(part,))
    for number in range(200):
        content = image(number).tobytes() if part is IMAGE else compressed(number, hdf5plugin.Bitshuffle())
        desk.frame(number, content, data=(part,))
    desk.end()
    content = desk.path.read_bytes()
    kept = content[: len(content) * percent // 100]
    copy = desk.path.with_name("copy.h5")
    copy.write_bytes(kept)
    for _ in range(2):
        found = salvaged(copy)
        text = f"{len(content) - len(kept)} bytes are gone; copy it again from where it came; nothing was changed"
        assert (found.found, found.text) == ("cut short", text)
    assert copy.read_bytes() == kept


def test_a_data_file_that_was_cut_off_is_cut_short_and_not_changed(tmp_path: Path) -> None:
    Desk(tmp_path, frames_per_file=4).series(NAME, range(8))
    copy = tmp_path / "dead_data_000001.h5"
    os.truncate(copy, copy.stat().st_size - 7)
    before = copy.read_bytes()
    found = salvaged(copy)
    assert (found.found, found.text.partition(";")[0]) == ("cut short", "7 bytes are gone")
    assert copy.read_bytes() == before


def test_a_closed_series_is_cut_short_that_lacks_a_data_file_or_the_end_of_one(tmp_path: Path) -> None:
    Desk(tmp_path, frames_per_file=4).series(NAME, range(12))
    series, second = tmp_path / NAME, tmp_path / "dead_data_000002.h5"
    assert salvaged(series).found == "whole"
    before = series.read_bytes()
    os.truncate(second, second.stat().st_size - 7)
    for what in ("lacks 7 bytes", "is gone"):
        found = salvaged(series)
        text = f"dead_data_000002.h5 {what}; copy it again from where it came"
        assert (found.found, found.text) == ("cut short", text)
        second.unlink(missing_ok=True)
    assert series.read_bytes() == before


def test_an_open_series_whose_data_file_was_cut_off_is_cut_short_and_not_changed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, frames_per_file=4)
    desk.start(NAME)
    desk.frames(*range(10))
    desk.recording.flush()
    left = tmp_path / "left"
    left.mkdir()
    for path in tmp_path.glob("*.h5"):
        shutil.copy(path, left)
    desk.end()
    second = left / "dead_data_000002.h5"
    os.truncate(second, second.stat().st_size - 7)
    before = [path.read_bytes() for path in sorted(left.iterdir())]
    found = salvaged(left / NAME)
    text = "dead_data_000002.h5 lacks 7 bytes; copy it again from where it came; nothing was changed"
    assert (found.found, found.text) == ("cut short", text)
    assert [path.read_bytes() for path in sorted(left.iterdir())] == before
    second.unlink()
    assert (salvaged(left / NAME).found, salvaged(left / NAME).found) == ("salvaged", "whole")


def test_a_file_shorter_than_it_says_is_salvaged_where_the_journal_of_a_dead_writer_explains_that(dead: Path) -> None:
    """A power cut may leave it so."""
    repair(dead)
    os.truncate(dead, dead.stat().st_size - 7)
    assert salvaged(dead).found == ("salvaged" if (dead.parent / FOLDER).exists() else "cut short")


@pytest.mark.parametrize(
    ("version", "got"),
    [("earliest", "superblock version 0, expected 2 or 3"), ("v110", "no /entry/series in it")],
)
def test_a_file_of_somebody_else_is_not_given_an_account(tmp_path: Path, version: str, got: str) -> None:
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w", libver=(version, "v110")) as file:
        file["data"] = np.arange(10)
    before = path.read_bytes()
    found = salvaged(path)
    text = f"got {got}: it is no file of a recorder; nothing was changed"
    assert (found.found, found.text) == ("not done", text)
    assert path.read_bytes() == before


def test_a_superblock_whose_checksum_a_power_cut_left_behind_is_made_whole(dead: Path) -> None:
    with dead.open("r+b") as file:
        file.seek(44)
        file.write(b"torn")
    # Refused at once: as a reader beside a writer HDF5 would read it again and again.
    with pytest.raises(OSError, match="Unable to synchronously open"):
        open_unlocked(dead)
    assert salvaged(dead).found == "salvaged"
    assert salvaged(dead).found == "whole"


def test_a_file_of_somebody_else_that_is_open_elsewhere_keeps_the_marks_of_its_writer(tmp_path: Path) -> None:
    path, copy = tmp_path / "theirs.h5", tmp_path / "seen_from_another_host.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.create_dataset("data", (0,), "u2", maxshape=(None,))
        file.swmr_mode = True
        file["data"].resize((1000,))
        file["data"][:] = 1
        file.flush()
        shutil.copy(path, copy)
    before = copy.read_bytes()
    found = salvaged(copy)
    assert found.found == "not done"
    assert "it is no file of a recorder; nothing was changed" in found.text
    assert copy.read_bytes() == before


@pytest.mark.parametrize("expected", [None, 20], ids=["unknown", "known"])
@pytest.mark.parametrize("first", [1, 3])
def test_without_a_journal_a_first_frame_that_was_lost_is_not_made_up(
    tmp_path: Path, expected: int | None, first: int
) -> None:
    desk = Desk(tmp_path)
    omega = Acquisition(goniometer=(Axis(name="omega", start=30.0, increment=0.1, vector=(-1.0, 0.0, 0.0)),))
    known = {} if expected is None else {"frames_expected": expected}
    desk.start(NAME, acquisition=omega, **known)
    for number in range(first):
        desk.lose(number)
    desk.frames(first, first + 1)
    desk.give_up_gaps()
    desk.recording.flush()
    left = tmp_path / "left" / NAME
    left.parent.mkdir()
    shutil.copy(desk.path, left)
    desk.end()

    found = salvaged(left)
    assert (found.found, found.rows) == ("salvaged", first + 2)
    with h5py.File(left) as file, h5py.File(desk.path) as ended:
        assert file["/entry/series/written"][()] == 2
        assert file["/entry/series/missing_frames"][0].tolist() == [0, first - 1]
        for what in (NUMBERS, DATA, "/entry/sample/transformations/omega"):
            np.testing.assert_array_equal(file[what], ended[what])


class Remembering(Journal[Record]):
    """A journal that knows how the last file was to be closed."""

    closing: Closing | None = None

    def append(self, record: Record) -> None:
        super().append(record)
        self.closing = record if isinstance(record, Closing) else self.closing


def test_a_file_that_its_recorder_could_not_close_is_never_complete_though_nothing_is_wrong_with_it(
    tmp_path: Path,
) -> None:
    journal = Remembering(tmp_path, "recorder", RECORDS)
    desk = Desk(tmp_path, journal=journal)
    desk.series(NAME, range(3), frames_expected=3)
    assert journal.closing is not None
    failed = msgspec.structs.replace(desk.account, state=SeriesState.FAILED, reason="close: it failed")
    position = msgspec.structs.replace(journal.closing.position, series=failed)
    journal.set_aside(msgspec.structs.replace(journal.closing, position=position))
    journal.close()
    found = salvaged(tmp_path / NAME)
    assert (found.found, found.rows) == ("salvaged", 3)
    with h5py.File(tmp_path / NAME) as file:
        said = file["entry/series"]
        assert [said[key].asstr()[()] for key in ("outcome", "reason")] == ["failed", "close: it failed"]
        np.testing.assert_array_equal(file[DATA], [image(n) for n in range(3)])
    assert salvaged(tmp_path / NAME).found == "whole"


#: Leaves the file of a dead recorder on a file system of its own, and salvages it while that is full, and after that.
_ON_A_FULL_DISK = """
import os, sys
from pathlib import Path
from test_recorder_salvage import NAME, recorded, salvaged

root = Path(sys.argv[1])
if not (dead := os.fork()):
    recorded(root)
    os._exit(0)
os.waitpid(dead, 0)
with (root / "filler").open("wb", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(4096))
    except OSError:
        pass
full = salvaged(root / NAME)
(root / "filler").unlink()
then = salvaged(root / NAME)
print(full.found, full.text, then.found, then.rows, then.missing, sep="|")
"""


def test_on_a_full_disk_nothing_is_lost_and_it_says_so(tmp_path: Path) -> None:
    mount = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=8m none "$0" || exit 9; exec "$@"', str(tmp_path))
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here (needs root, or a user namespace)")
    command = [*mount, sys.executable, "-c", _ON_A_FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60, check=False)
    said = "the disk is full; no frame is lost, and none was changed: make room, and run it again"
    assert done.stdout.strip().split("|") == ["no room", said, "salvaged", "10", "11"], done.stderr


def test_the_command_says_what_it_found_in_each_file(dead: Path) -> None:
    command = [sys.executable, "-m", "stins.cli", "salvage", "--json", str(dead), str(dead.with_name("none.h5"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert [json.loads(line)["found"] for line in done.stdout.splitlines()] == ["salvaged", "not done"]


def test_a_file_that_hangs_its_reader_is_lost_within_the_limit(dead: Path) -> None:
    command = [sys.executable, "-m", "stins.cli", "salvage", "--limit", "0.01", str(dead)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "lost: not done within 0.01 s" in done.stdout) == (1, True)


def rewrite_boot(root: Path) -> None:
    """The journal is now that of an earlier start of the machine."""
    journal: Journal[Record] = Journal(root, "recorder", RECORDS)
    begun, last = journal.found
    assert isinstance(begun, Begun)
    journal.begin(msgspec.structs.replace(begun, machine_boot="before"))
    journal.append(last)
    journal.close()


def test_a_recorder_has_the_file_salvaged_that_it_cannot_go_on_with(start_chain: StartChain) -> None:
    chain = start_chain(replay=True)
    chain.start("given.h5", id="given", frames_expected=20)
    chain.frames(*range(10))
    chain.flushed(10)
    writer, supervisor = psutil.Process(chain.recorder.status.writer_pid), psutil.Process(chain.recorder.pid)
    for process in (supervisor, writer):
        process.kill()
    chain.recorder.close()
    psutil.wait_procs([writer], 10)
    rewrite_boot(chain.root)
    chain.restart()
    assert chain.recorder.status.series is not None
    assert chain.recorder.status.series.state is SeriesState.FAILED
    assert "the machine was restarted in mid-series" in chain.recorder.status.reason
    status = chain.serve(lambda s: any("given.h5: salvaged" in note for note in s.notes))
    assert status.series is not None
    with h5py.File(chain.root / "given.h5") as file:
        assert "the machine was restarted" in file["/entry/series/reason"].asstr()[()]
        assert file["/entry/series/outcome"].asstr()[()] == "failed", "as its status says"
        np.testing.assert_array_equal(file[DATA], [image(n) for n in range(10)])
    assert not list((chain.root / FOLDER).glob(f"*{ASIDE}"))
    chain.frames(*range(10, 20))
    chain.end()
    assert chain.serve_to_end().state is SeriesState.FAILED
    chain.series("next.h5", range(3), id="next", frames_expected=3)
    assert chain.serve_to_end().state is SeriesState.COMPLETE
