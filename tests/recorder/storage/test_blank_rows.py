"""A row that is blanked reads as missing, also where its frame was not flushed."""

import tempfile
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  # for what is compressed
import pytest
from msgspec import UNSET
from stins_recorder.layout import FrameWriterLayout, frame_layout
from stins_recorder.storage import open_store
from test_runs import opened

from stins import Part

SIDES = {"small": 64, "large": 1024}


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("compression", ["none", "bslz4"])
@pytest.mark.parametrize("folder", ["disk", "memory"])
def test_nothing_is_written_over_a_row_that_was_blanked(
    tmp_path: Path, size: str, compression: str, folder: str
) -> None:
    side = SIDES[size]
    layout = frame_layout([Part(name="p", shape=(side, side), dtype="uint16", compression=compression)], UNSET)
    content = bytes(2 * side * side) if compression == "none" else bytes(2 * side * side - 100)
    with tempfile.TemporaryDirectory(dir=tmp_path if folder == "disk" else "/dev/shm") as name:
        check_blank(Path(name) / "a.h5", layout, content)


def check_blank(path: Path, layout: FrameWriterLayout, content: bytes) -> None:
    with opened(path, layout) as (datasets, descriptor):
        store = open_store(datasets, descriptor, 3)
        for row in range(3):
            store.write(row, [content])
        store.blank(1)
        store.flush()
        store.abandon()
    with h5py.File(path) as file:
        assert (file["g/data"][1] == 2**16 - 1).all()
