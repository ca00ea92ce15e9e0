"""The rules for frames, each broken on purpose in a series of several data files: what is wrong, and in which one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from msgspec import UNSET
from stins_recorder.check.reader import FileReader, Step
from stins_recorder.storage.superblock import mark_open

from stins.findings import Finding

DATA, SHOWN = "/entry/data/data", "/entry/instrument/detector/data"
PER_FILE = 2
Make = Callable[..., Path]
Broken = Callable[..., set[str]]
Found = Callable[..., list[Finding]]


@pytest.fixture
def segmented(make: Make) -> Make:
    """Records five frames, two in a data file."""
    return lambda **values: make(frames_per_file=PER_FILE, **values)


def data_file(series: Path, number: int) -> Path:
    return series.with_name(f"{series.stem}_data_00000{number}.h5")


def replace(file: h5py.File, stored: int, **values: str) -> None:
    """The same frames, of which the first `stored` have a chunk."""
    pixels, shape = file[DATA][()], (None, 8, 12)
    del file[DATA]
    file.create_dataset(DATA, pixels.shape, "u2", chunks=(1, 8, 12), maxshape=shape, **values)[:stored] = pixels[
        :stored
    ]


def show(series: Path, places: dict[int, tuple[int, int]], rows: int = 5) -> None:
    """Lets each row of the series be shown from a row of a data file, or from nowhere."""
    with h5py.File(series, "r+") as file:
        attributes, fill = dict(file[SHOWN].attrs), file[SHOWN].fillvalue
        for path in (DATA, SHOWN):
            del file[path]
        layout = h5py.VirtualLayout((rows, 8, 12), "u2")
        for row, (number, place) in places.items():
            source = h5py.VirtualSource(data_file(series, number).name, DATA, (PER_FILE, 8, 12), "u2")
            layout[row] = source[place]
        view = file.create_virtual_dataset(SHOWN, layout, fillvalue=fill)
        view.attrs.update(attributes)
        file[DATA] = view


def rightly(rows: int = 5) -> dict[int, tuple[int, int]]:
    return {row: (row // PER_FILE + 1, row % PER_FILE) for row in range(rows)}


@pytest.mark.parametrize("compression", ["none", "bslz4"])
@pytest.mark.parametrize("known", [{}, {"frames_expected": 7}])
def test_a_healthy_series_breaks_no_rule(
    segmented: Make, broken: Broken, compression: str, known: dict[str, int]
) -> None:
    incomplete = {"frames.incomplete"} if known else set()
    assert broken(segmented(compression=compression, **known), decode=True) == incomplete


def test_all_data_files_are_looked_at_and_each_is_named_before(segmented: Make) -> None:
    path = segmented()
    lines: list[Any] = []
    counts = FileReader(path, lines.append, decode=True).run()
    assert counts == {
        "rows": 5, "data_files": 3, "chunks": 5, "stored_bytes": 5 * 192, "frames": 5, "missing": 0
    }  # fmt: skip
    steps = [line.what for line in lines if isinstance(line, Step)]
    for number in (1, 2, 3):
        name = data_file(path, number).name
        assert {f"opening {name}", f"chunks of {name} {DATA}", f"decoding {name} {DATA}"} <= set(steps)


@pytest.mark.parametrize(
    ("rule", "damage"),
    [
        ("data.layout", lambda file: replace(file, 2, compression="gzip")),
        ("data.chunks", lambda file: replace(file, 1)),
    ],
)
def test_a_damage_in_a_data_file_is_found_there(
    segmented: Make, found: Found, rule: str, damage: Callable[[h5py.File], None]
) -> None:
    path = segmented()
    with h5py.File(data_file(path, 2), "r+") as file:
        damage(file)
    (only,) = found(path)
    assert (only.rule, only.where) == (rule, f"{data_file(path, 2).name} {DATA}")


def test_the_row_of_a_lost_chunk_is_that_of_its_data_file(segmented: Make, found: Found) -> None:
    path = segmented()
    with h5py.File(data_file(path, 2), "r+") as file:
        replace(file, 1)
    (only,) = found(path)
    assert only.got == "1 rows without a chunk: 1"


def _chunk(path: Path, index: int = 0) -> Any:
    with h5py.File(path, "r", swmr=True, locking=False) as file:
        return file[DATA].id.get_chunk_info(index)


def _overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def test_the_wrong_header_of_a_compressed_chunk_is_found_without_decoding(segmented: Make, found: Found) -> None:
    path = segmented(compression="bslz4")
    _overwrite(data_file(path, 2), _chunk(data_file(path, 2), 1).byte_offset, bytes(12))
    (only,) = found(path)
    assert (only.rule, only.where) == ("data.chunk-header", f"{data_file(path, 2).name} {DATA} row 1")


def test_a_chunk_of_a_wrong_length_is_found(segmented: Make, found: Found) -> None:
    path = segmented(compression="bslz4")
    with h5py.File(data_file(path, 3), "r+") as file:
        file[DATA].id.write_direct_chunk((0, 0, 0), b"short", filter_mask=1)
    (only,) = found(path)
    assert (only.rule, only.where) == ("data.chunk-size", f"{data_file(path, 3).name} {DATA} row 0")


def test_a_chunk_that_cannot_be_decoded_is_found_only_by_decoding(segmented: Make, found: Found) -> None:
    path = segmented(compression="bslz4")
    chunk = _chunk(data_file(path, 2), 1)
    _overwrite(data_file(path, 2), chunk.byte_offset + 12, b"\xff" * (chunk.size - 12))
    assert found(path) == []
    (only,) = found(path, decode=True)
    assert (only.rule, only.where) == ("data.decode", f"{data_file(path, 2).name} {DATA} row 1")


def test_a_chunk_beyond_the_end_of_a_torn_data_file_is_found(segmenting: Any, tmp_path: Path, found: Found) -> None:
    left = _copy_of_open_series(segmenting, tmp_path)
    torn = data_file(left, 2)
    os.truncate(torn, _chunk(torn, 1).byte_offset + 10)
    faults = {finding.rule: finding.where for finding in found(left)}
    assert faults == {"data.truncated": f"{torn.name} {DATA} row 1", "file.open": str(left)}


def test_pixels_of_a_missing_frame_are_a_warning_only_where_they_are_shown(segmented: Make, found: Found) -> None:
    path = segmented(lost=[2])
    with h5py.File(data_file(path, 2), "r+") as file:
        file[DATA][0] = 7
    assert {finding.rule for finding in found(path)} == {"frames.incomplete"}
    show(path, rightly())
    faults = {finding.rule: finding.where for finding in found(path)}
    assert faults["data.missing"] == f"{data_file(path, 2).name} {DATA}"
    assert faults.keys() == {"frames.incomplete", "data.missing"}


# -- data files as a whole ----------------------------------------------------------------------


def absent(path: Path) -> None:
    path.unlink()


def of_another_series(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["series_mark"] = "0123"


def not_closed(path: Path) -> None:
    with path.open("r+b") as file:
        mark_open(file.fileno(), path, path.stat().st_size)


def too_short(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file[DATA].resize(1, axis=0)


def no_hdf5(path: Path) -> None:
    path.write_text("no HDF5 at all")


def without_frames(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file[DATA]


@pytest.mark.parametrize(
    ("damage", "got"),
    [
        (absent, "no such file"),
        (of_another_series, "a file of another series"),
        (not_closed, "a file that is not closed"),
        (too_short, "1 rows"),
        (no_hdf5, "file signature not found"),
        (without_frames, "object 'data' doesn't exist"),
    ],
)
def test_a_data_file_that_is_not_as_the_series_shows_it_is_one_error(
    segmented: Make, found: Found, damage: Callable[[Path], None], got: str
) -> None:
    path = segmented()
    damage(data_file(path, 2))
    (only,) = found(path)
    assert (only.rule, only.where) == ("data.files", data_file(path, 2).name)
    assert got in only.got


def test_what_is_wrong_with_an_absent_data_file_is_said_in_rows_of_the_series(segmented: Make, found: Found) -> None:
    path = segmented()
    data_file(path, 2).unlink()
    (only,) = found(path)
    assert only.expected == "the rows of the series up to 3: 2-3 read as missing"


def test_a_data_file_of_which_no_row_counts_is_none(segmented: Make, broken: Broken) -> None:
    path = segmented(lost=[2, 3])
    assert not data_file(path, 2).exists()
    data_file(path, 2).write_text("something else")
    data_file(path, 4).write_text("something else")
    assert broken(path) == {"frames.incomplete"}


@pytest.mark.parametrize(
    "places",
    [{row: place for row, place in rightly().items() if row != 1}, rightly() | {1: (2, 1)}, rightly() | {1: (1, 0)}],
    ids=["nowhere", "another file", "another row"],
)
def test_a_row_that_is_not_shown_from_its_place_is_found(
    segmented: Make, found: Found, places: dict[int, tuple[int, int]]
) -> None:
    path = segmented()
    show(path, places)
    (only,) = found(path)
    assert (only.rule, only.where) == ("data.shown", SHOWN)
    assert "1 rows" in only.got


def test_more_rows_that_are_shown_than_there_are_numbers_are_found(segmented: Make, broken: Broken) -> None:
    path = segmented()
    show(path, rightly(), rows=6)
    assert "frames.columns" in broken(path)


def test_a_series_that_was_renamed_finds_its_data_files_as_its_readers_do(segmented: Make, broken: Broken) -> None:
    path = segmented()
    assert broken(path.rename(path.with_name("other.h5"))) == set()


def test_a_hostile_number_of_frames_in_a_file_is_a_finding(segmented: Make, broken: Broken) -> None:
    path = segmented()
    for count, rules in ((0, {"data.files"}), (2**62, {"data.files", "data.shown"})):
        with h5py.File(path, "r+") as file:
            file["/entry/series/frames_per_file"][()] = count
        assert broken(path) == rules


# -- series of other kinds ----------------------------------------------------------------------


@pytest.fixture
def segmenting(recorder_of_files: Callable[[int], Any]) -> Any:
    """A recorder with data files, to be fed message by message."""
    return recorder_of_files(PER_FILE)


def test_discarded_and_retaken_frames_break_no_rule(segmenting: Any, broken: Broken) -> None:
    segmenting.start(frames_expected=9)
    for number in range(7):
        segmenting.frame(number, discard=number in {1, 2})
    segmenting.frame(5, retake=True)
    for number in (6, 7, 8):
        segmenting.frame(number)
    segmenting.end()
    assert broken(segmenting.path, decode=True) == set()


def test_frames_lost_beside_discarded_ones_are_no_error(segmenting: Any, broken: Broken) -> None:
    segmenting.start(frames_expected=9)
    segmenting.frame(0)
    for number in range(1, 8):
        segmenting.frame(number, discard=True) if number == 4 else segmenting.lose(number)
    segmenting.frame(8)
    segmenting.end()
    assert broken(segmenting.path) == {"frames.incomplete"}


def test_a_series_without_images_breaks_no_rule(segmenting: Any, broken: Broken) -> None:
    segmenting.part = ()
    segmenting.start(frames_expected=3)
    for number in range(3):
        segmenting.take(segmenting.sender.data(number, detector_specific={"current": 0.5 * number}))
    segmenting.end()
    assert broken(segmenting.path) == set()


@pytest.mark.parametrize("known", [True, False])
def test_an_open_series_is_noted_as_such_and_nothing_else(segmenting: Any, broken: Broken, known: bool) -> None:
    segmenting.start(frames_expected=5 if known else UNSET)
    assert broken(segmenting.path) == {"file.open"}
    for number in range(3):
        segmenting.frame(number)
        segmenting.flush()
        assert broken(segmenting.path, decode=True) == {"file.open"}
    data_file(segmenting.path, 1).unlink()
    assert broken(segmenting.path) == {"file.open", "data.files"}
    segmenting.stop()


def test_an_open_series_whose_first_frame_is_lost_has_no_data_file_too_few(segmenting: Any, broken: Broken) -> None:
    segmenting.start()
    segmenting.lose(0)
    segmenting.lose(1)
    segmenting.frame(2)
    segmenting.give_up_gaps()
    segmenting.flush()
    assert not data_file(segmenting.path, 1).exists()
    assert broken(segmenting.path) == {"file.open"}
    segmenting.stop()


def _copy_of_open_series(recorder: Any, folder: Path) -> Path:
    """What a recorder that was killed leaves behind: a data file that is closed, and one that is not."""
    recorder.start()
    for number in range(4):
        recorder.frame(number)
    recorder.flush()
    left = folder / "left"
    left.mkdir()
    for path in folder.glob("*.h5"):
        shutil.copy(path, left)
    recorder.stop()
    return left / recorder.path.name


# -- a data file by itself ----------------------------------------------------------------------


@pytest.mark.parametrize("ended", [True, False])
def test_a_data_file_by_itself_says_which_file_is_to_be_checked(
    segmented: Make, segmenting: Any, tmp_path: Path, found: Found, ended: bool
) -> None:
    path = segmented() if ended else _copy_of_open_series(segmenting, tmp_path)
    (only,) = found(data_file(path, 2))
    assert only.rule == "file.data-file"
    assert only.message == (
        "got a data file of scan_0001.h5, which is not checked by itself, "
        "expected stins check scan_0001.h5, which looks into all of its data files"
    )
