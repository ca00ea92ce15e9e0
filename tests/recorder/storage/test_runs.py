"""Places of chunks are reckoned, proven, and those that HDF5 knows."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest
from msgspec import UNSET
from stins_recorder.layout import DatasetLayout, FrameWriterLayout, frame_layout
from stins_recorder.storage import FrameDatasets, create_datasets
from stins_recorder.storage.hdf5 import options
from stins_recorder.storage.runs import Run, allocate, merged

from stins import FrameLayout, Part


def one(dtype: str, *shape: int) -> FrameWriterLayout:
    part = Part(name="image", shape=shape, dtype=dtype)
    return frame_layout([part], UNSET)


ONE, TINY, LARGE = one("uint16", 100, 90), one("uint8", 3, 5), one("float32", 130, 131)
GRID = frame_layout(
    [
        Part(name=f"m{i}{j}", shape=(40, 50), dtype="int32", offset=(40 * i, 50 * j))
        for j in range(3) for i in range(2)
    ],
    FrameLayout(shape=(80, 150), chunks=(40, 50)),
)  # fmt: skip
TWO = FrameWriterLayout(
    (ONE.datasets[0], DatasetLayout("other", (7, 400), (7, 400), "<u8", "none")),
    (0, 1),
    ((0, 0), (0, 0)),
)


@contextmanager
def opened(path: Path, layout: FrameWriterLayout) -> Iterator[tuple[FrameDatasets, int]]:
    with h5py.File(path, "x", **options()) as file:
        create_datasets(file.create_group("g"), layout, [["p"]] * len(layout.datasets))
        file.swmr_mode = True
        descriptor = os.open(path, os.O_RDWR)
        yield FrameDatasets(file, "g", layout), descriptor
        os.close(descriptor)


def known(datasets: FrameDatasets) -> dict[tuple[int, int], int]:
    """(row, part) -> place, as HDF5 says."""
    places: dict[tuple[int, tuple[int, ...]], int] = {}
    found: dict[tuple[int, int], int] = {}
    for target, handle in enumerate(datasets.handles):
        places.clear()
        handle.chunk_iter(lambda chunk: places.update({chunk.chunk_offset: chunk.byte_offset}))
        for part, (of, offset) in enumerate(zip(datasets.layout.targets, datasets.layout.offsets, strict=True)):
            if of == target:
                found |= {(row, part): places[row, *offset] for row in range(datasets.extent)}
    return found


@pytest.mark.parametrize("layout", [ONE, LARGE, GRID, TWO], ids=["one", "large", "grid", "two"])
def test_reckoned_places_are_those_of_hdf5(tmp_path: Path, layout: FrameWriterLayout) -> None:
    with opened(tmp_path / "a.h5", layout) as (datasets, descriptor):
        runs = [allocate(datasets, descriptor, rows) for rows in (1, 300, 7, 4000)]
        places = known(datasets)
        assert datasets.extent == 4308
        found = [run for run in runs if run is not None]
        assert len(found) >= 2
        for run in found:
            for part, (base, step) in enumerate(run.places):
                for row in range(run.first, run.stop):
                    assert places[row, part] == base + (row - run.first) * step


def test_rows_for_whose_index_hdf5_needed_room_are_in_no_run(tmp_path: Path) -> None:
    with opened(tmp_path / "a.h5", ONE) as (datasets, descriptor):
        runs = [allocate(datasets, descriptor, 5000) for _ in range(60)]
    # A block for the index has 1 MiB, a chunk takes 8 bytes in it.
    assert 2 <= runs.count(None) <= 4


def test_tiny_chunks_have_places_or_none(tmp_path: Path) -> None:
    with opened(tmp_path / "a.h5", TINY) as (datasets, descriptor):
        run = allocate(datasets, descriptor, 100)
        places = known(datasets)
    assert run is None or all(
        places[row, 0] == run.places[0][0] + row * run.places[0][1] for row in range(run.first, run.stop)
    )


def test_runs_that_go_on_are_one() -> None:
    run = Run(0, 10, ((1000, 8), (5000, 16)))
    assert merged(run, Run(10, 12, ((1080, 8), (5160, 16)))) == Run(0, 12, run.places)
    assert merged(run, Run(10, 12, ((1088, 8), (5160, 16)))) is None
    assert merged(run, Run(11, 12, ((1080, 8), (5160, 16)))) is None


def test_extents_are_those_of_the_datasets_behind_a_row_and_end_with_their_last_chunk() -> None:
    run, sizes = Run(10, 20, ((1000, 100), (1050, 100), (9000, 8))), (45, 45, 8)
    assert run.extents(sizes, 0) == [(1000, 995), (9000, 80)]
    assert run.extents(sizes, 15) == [(1500, 495), (9040, 40)]
    assert run.extents(sizes, 0, 12) == [(1000, 195), (9000, 16)]
    assert run.extents(sizes, 20) == []
    # As modules come: in an order of their own.
    assert Run(0, 3, ((150, 100), (100, 100))).extents((45, 45), 1) == [(200, 195)]
