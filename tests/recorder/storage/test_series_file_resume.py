"""A series goes on in the file of a writer that died."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from series_kit import DATA, DETECTOR, FileCheckpoint, SeriesFile, closed, images, killed, start_of, stored

_WRITE_20 = """
file = SeriesFile(path, start_of(path), ())
for row in range(20):
    file.write(stored(row, timestamp=row / 2, detector_specific={"n": row}))
file.flush()
checkpoint = file.checkpoint
"""


def contents(path: Path) -> dict[str, list[float]]:
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file[DATA], images(range(len(file[DATA]))))
        detector = file[DETECTOR]
        names = ("sequence_number", "timestamp", "frame_specific/n")
        return {name: detector[name][:].tolist() for name in names}


def test_a_killed_series_goes_on_and_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    checkpoint = killed(path, _WRITE_20)
    file = SeriesFile.resume(path, start_of(path), checkpoint)
    for row in range(20, 30):
        file.write(stored(row, timestamp=row / 2, detector_specific={"n": row}))
    closed(file)
    rows = list(range(30))
    assert contents(path) == {
        "sequence_number": rows, "timestamp": [row / 2 for row in rows], "frame_specific/n": rows
    }  # fmt: skip


def test_what_stands_behind_the_checkpoint_is_void(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    late = killed(path, _WRITE_20)
    assert late.rows == 20
    early = FileCheckpoint(rows=12, begun=True, parts=late.parts, frame=late.frame)
    file = SeriesFile.resume(path, start_of(path), early)
    for row in range(12, 15):
        file.write(stored(row, timestamp=row / 2, detector_specific={"n": row}))
    file.flush()
    assert file.checkpoint().rows == 15
    closed(file)
    assert contents(path)["sequence_number"] == list(range(15))


@pytest.mark.parametrize("end", ["file.flush()", "file.suspend()"])
def test_a_series_without_a_frame_goes_on(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.h5"
    checkpoint = killed(path, f"file = SeriesFile(path, start_of(path), ())\n{end}")
    file = SeriesFile.resume(path, start_of(path), checkpoint)
    file.write(stored(0, timestamp=0.0, detector_specific={"n": 0}))
    closed(file)
    assert contents(path)["sequence_number"] == [0]


def test_a_suspended_series_is_readable_by_anybody_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    file = SeriesFile(path, start_of(path), ())
    for row in range(5):
        file.write(stored(row, timestamp=row / 2, detector_specific={"n": row}))
    file.flush()
    checkpoint = file.checkpoint()
    file.suspend()
    assert contents(path)["sequence_number"] == list(range(5))
    with h5py.File(path) as reader:
        assert "end_time" not in reader["entry"]
    file = SeriesFile.resume(path, start_of(path), checkpoint)
    file.write(stored(5, timestamp=2.5, detector_specific={"n": 5}))
    closed(file)
    assert contents(path)["frame_specific/n"] == list(range(6))
