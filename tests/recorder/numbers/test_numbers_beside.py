"""Numbers of frames beside a real recorder: while the series runs, afterwards, and whoever dies."""

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from recorder_kit import Chain, compressed, image

from stins import Part
from stins.control import NumbersRequest, PrepareRequest, Region, SeriesState, SeriesStatus

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
