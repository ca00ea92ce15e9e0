"""The angles of a scan, in the file of a writer that died and of the one that went on."""

from pathlib import Path

from nxmx_kit import is_valid_nxmx, meta_data, omegas
from series_kit import SeriesFile, closed, start_of, stored


def test_a_series_that_goes_on_in_another_writer_goes_on_with_its_angles(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    start = start_of(path, **meta_data())
    first = SeriesFile(path, start, ())
    unborn = first.checkpoint()
    first.write(stored(0, detector_specific={"start_time": 1}))
    first.abandon()  # its first frame was never flushed: the one that comes next makes the datasets anew
    second = SeriesFile.resume(path, start, unborn)
    for row in range(5):
        second.write(stored(row))
    second.flush()
    flushed = second.checkpoint()
    second.write(stored(5))
    second.abandon()
    third = SeriesFile.resume(path, start, flushed)
    for row in (5, 6):
        third.write(stored(row))
    closed(third)
    assert omegas(path) == [30.0, 30.1, 30.2, 30.3, 30.4, 30.5, 30.6]
    assert is_valid_nxmx(path)
