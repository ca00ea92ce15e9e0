"""The writer is killed at its system calls, a sample of them; benchmarks/kill_points.py has them all."""

from pathlib import Path

import pytest
from kill_driver import Job, Point
from killing import kill
from short_series import SERIES

from tests.sweeps import sweep

#: With a different place to begin for each way of storing, so that together they come by every phase of a series.
STRIDE, TORN_STRIDE = sweep(151, 11), sweep(197, 17)
#: In the middle of the first life.
RESUMED_AT = 100


def job(name: str, *, torn: bool = False, resumed: int = 0) -> Job:
    first = 1 + 7 * list(SERIES).index(name)
    return Job(SERIES[name], torn=torn, resumed=resumed, first=first, stride=TORN_STRIDE if torn else STRIDE)


def lost(points: list[Point]) -> list[Point]:
    """Those where something acked is not there, or a closed segment is not whole."""
    return [p for p in points if p.as_it_is or p.salvaged or p.bare or p.gone_on or p.segments]


@pytest.mark.parametrize("name", SERIES)
def test_every_acked_frame_is_there_wherever_the_writer_is_killed(name: str, shim: Path, tmp_path: Path) -> None:
    points = kill(job(name), tmp_path / "kill", shim)
    assert points
    assert lost(points) == []


@pytest.mark.parametrize("name", ["known length", "compressed", "eventful, compressed, segments"])
def test_a_writer_that_goes_on_may_be_killed_too(name: str, shim: Path, tmp_path: Path) -> None:
    points = kill(job(name, resumed=RESUMED_AT), tmp_path / "kill", shim)
    assert points
    assert lost(points) == []


@pytest.mark.parametrize("name", [name for name, series in SERIES.items() if series.frames_per_file])
def test_a_torn_write_takes_nothing_from_a_closed_segment(name: str, shim: Path, tmp_path: Path) -> None:
    points = kill(job(name, torn=True), tmp_path / "kill", shim)
    assert points
    assert [point for point in points if point.segments] == []


@pytest.mark.parametrize("name", ["known length", "large frames", "eventful"])
def test_a_torn_write_takes_nothing_from_an_uncompressed_series_of_known_length(
    name: str, shim: Path, tmp_path: Path
) -> None:
    points = kill(job(name, torn=True), tmp_path / "kill", shim)
    assert points
    assert [point for point in points if point.salvaged] == []
