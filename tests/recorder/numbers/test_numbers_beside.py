"""Numbers of frames beside a real recorder: while the series runs, afterwards, and whoever dies."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from recorder_kit import Chain, compressed, image, wait_until

from stins import Part, RemoteError
from stins.control import NumbersRequest, PrepareRequest, RecorderState, Region, SeriesState, SeriesStatus

REGION = Region(name="spot", row=2, column=3, rows=4, columns=5)
ASKED = NumbersRequest(keys=("sum", "mean", "max", "saturated"), regions=(REGION,))
NUMBERS = "/entry/frame_numbers"


def prepare(chain: Chain, name: str, **values: Any) -> None:
    chain.recorder.client.post(
        "/prepare", PrepareRequest(series_id=name, filename=f"{name}.h5", numbers=ASKED, **values)
    )


def numbered(chain: Chain, rows: int) -> SeriesStatus:
    """Waits until so many rows of the series that was started last have their numbers."""

    def there(series: SeriesStatus | None) -> bool:
        ours = series is not None and series.series_id == chain.series_id
        return ours and series is not None and (series.numbers_rows or 0) >= rows

    status = chain.recorder.wait_for(lambda s: there(s.series))
    assert status.series is not None
    return status.series


def done(chain: Chain) -> SeriesStatus:
    """Waits until that series is over, and its numbers are."""

    def over(series: SeriesStatus | None) -> bool:
        ours = series is not None and series.series_id == chain.series_id
        return ours and series is not None and series.state is not SeriesState.OPEN and series.numbers_state != "open"

    status = chain.recorder.wait_for(lambda s: over(s.series))
    assert status.series is not None
    return status.series


def process(chain: Chain) -> int:
    """The process that computes them."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == chain.recorder.pid and b"stins_recorder.numbers" in words:
            return int(folder.name)
    return 0


def begin(chain: Chain, name: str, **values: Any) -> None:
    prepare(chain, name)
    chain.start(f"{name}.h5", id=name, **values)


def columns(path: Path | str, *, running: bool = False) -> dict[str, "np.ndarray[Any, Any]"]:
    """The numbers as anybody reads them: by the series' own file."""
    with h5py.File(path, "r", swmr=running) as file:
        return {name: dataset[()] for name, dataset in file[NUMBERS].items()}


def expected(*numbers: int) -> dict[str, list[float]]:
    frames = [image(number) for number in numbers]
    found: dict[str, list[float]] = {}
    for prefix, of in ("", frames), ("spot_", [frame[2:6, 3:8] for frame in frames]):
        found[f"{prefix}sum"] = [float(frame.sum(dtype=int)) for frame in of]
        found[f"{prefix}mean"] = [float(frame.mean()) for frame in of]
        found[f"{prefix}max"] = [float(frame.max()) for frame in of]
        found[f"{prefix}saturated"] = [float((frame == 65535).sum()) for frame in of]
    return found


def equal(found: dict[str, "np.ndarray[Any, Any]"], wanted: dict[str, list[float]]) -> None:
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, err_msg=name)


@pytest.mark.parametrize("compression", ["none", "bslz4"])
def test_they_are_there_while_the_series_runs_and_afterwards(chain: Chain, compression: str) -> None:
    name = f"beside-{compression}"
    part = Part(name="image", shape=image(0).shape, dtype="uint16", compression=compression)
    prepare(chain, name)
    chain.start(f"{name}.h5", id=name, data=(part,))
    for number in range(5):
        payload = image(number).tobytes() if compression == "none" else compressed(number, hdf5plugin.Bitshuffle())
        chain.frame(number, payload, data=(part,))
    series = numbered(chain, 5)
    assert series.numbers_state == "open"
    assert series.file is not None
    running = columns(series.file, running=True)
    equal({name: values[:5] for name, values in running.items()}, expected(*range(5)))

    chain.end()

    series = done(chain)
    assert (series.state, series.numbers_state, series.numbers_rows) == (SeriesState.COMPLETE, "complete", 5)
    equal(columns(Path(series.file or "")), expected(*range(5)))


def test_a_frame_that_is_taken_again_gets_the_numbers_of_its_last_take(chain: Chain) -> None:
    begin(chain, "numbers-again")
    chain.frames(0, 1, 2)
    numbered(chain, 3)
    chain.frame(1, image(8).tobytes(), retake=True)
    chain.frame(2, image(9).tobytes())
    chain.end()
    series = done(chain)
    assert (series.numbers_state, series.retaken) == ("complete", 2)
    equal(columns(series.file or ""), expected(0, 8, 9))


def test_a_missing_frame_has_no_numbers_and_a_mask_leaves_pixels_out(chain: Chain) -> None:
    mask = np.zeros(image(0).shape, "<u4")
    mask[:, :6] = 1
    arrays = (Part(name="pixel_mask", shape=mask.shape, dtype="uint32"),)
    prepare(chain, "numbers-masked")
    chain.start("numbers-masked.h5", [mask.tobytes()], id="numbers-masked", data=arrays)
    chain.frame(0)
    chain.lose(1)
    chain.frame(2)
    chain.end()
    series = done(chain)
    assert (series.numbers_state, series.missing) == ("complete", 1)
    found = columns(series.file or "")
    wanted = [float(image(number)[:, 6:].sum(dtype=int)) for number in (0, 2)]
    np.testing.assert_array_equal(found["sum"], [wanted[0], np.nan, wanted[1]])
    assert np.isnan([values[1] for values in found.values()]).all()


def test_another_process_goes_on_where_one_was_killed(chain: Chain) -> None:
    begin(chain, "numbers-killed")
    chain.frames(0, 1, 2)
    numbered(chain, 3)
    os.kill(process(chain), signal.SIGKILL)
    chain.frames(3, 4)
    chain.recorder.wait_for(lambda s: any("SIGKILL" in note for note in s.notes))
    numbered(chain, 5)
    # With its numbers that has passed.
    chain.recorder.wait_for(lambda s: not any("SIGKILL" in note for note in s.notes))
    chain.end()
    series = done(chain)
    assert (series.state, series.numbers_state) == (SeriesState.COMPLETE, "complete")
    equal(columns(series.file or ""), expected(*range(5)))


def test_a_writer_that_dies_before_the_series_begins_takes_no_wish_along(chain: Chain) -> None:
    prepare(chain, "numbers-early")
    with pytest.raises(RemoteError):  # what is refused does not take the place of what is prepared
        chain.recorder.client.post("/prepare", PrepareRequest(series_id="other", filename="../other.h5"))
    writer = chain.recorder.status.writer_pid
    assert writer is not None
    os.kill(writer, signal.SIGKILL)
    chain.recorder.wait_for(lambda s: s.writer_pid != writer and s.state is RecorderState.IDLE)
    chain.series("numbers-early.h5", range(3), id="numbers-early")
    series = done(chain)
    assert (series.state, series.numbers_state) == (SeriesState.COMPLETE, "complete")
    equal(columns(series.file or ""), expected(*range(3)))


def test_a_process_that_is_stopped_keeps_no_recording_waiting(chain: Chain) -> None:
    begin(chain, "numbers-stopped")
    chain.frame(0)
    numbered(chain, 1)
    stopped = process(chain)
    os.kill(stopped, signal.SIGSTOP)
    try:
        chain.frames(*range(1, 200))
        chain.end()
        series = chain.recorder.wait_for_end("numbers-stopped")
        assert (series.state, series.written) == (SeriesState.COMPLETE, 200)
        assert (series.numbers_state, series.numbers_rows) == ("open", 1)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert done(chain).numbers_rows == 200
    equal(columns(series.file or ""), expected(*range(200)))


def test_a_series_in_data_files_whose_writer_and_recorder_are_killed_has_them_all(
    start_chain: Callable[..., Chain],
) -> None:
    chain = start_chain(replay=True, frames_per_file=3)
    begin(chain, "pieces", frames_expected=10)
    chain.frames(0, 1, 2, 3)
    chain.flushed(4)
    numbered(chain, 4)
    writer = chain.recorder.status.writer_pid
    assert writer is not None
    os.kill(writer, signal.SIGKILL)
    chain.frames(4, 5)
    chain.flushed(6)
    numbered(chain, 6)
    chain.recorder.process.kill()
    chain.recorder.process.wait()
    chain.recorder.close()
    wait_until(lambda: not process(chain))
    chain.restart()
    chain.frames(6, 7, 8, 9)
    chain.end()
    chain.serve_to_end()
    series = done(chain)
    assert (series.state, series.numbers_state) == (SeriesState.COMPLETE, "complete")
    equal(columns(series.file or ""), expected(*range(10)))


def test_what_cannot_be_asked_for_is_refused_before_the_series(chain: Chain) -> None:
    twice = NumbersRequest(keys=("sum",), regions=(REGION, REGION))
    request = PrepareRequest(series_id="no", filename="no.h5", numbers=twice)
    with pytest.raises(RemoteError, match="a name of its own for each"):
        chain.recorder.client.post("/prepare", request)
    (chain.root / "no_numbers.h5").touch()
    with pytest.raises(RemoteError, match=r"no_numbers\.h5 stands already"):
        prepare(chain, "no")
