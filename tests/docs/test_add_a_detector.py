"""The how-to's detector keeps what every backend has to keep, and scans under the name that the how-to gives it."""

import linecache
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import bluesky.plan_stubs as bps
import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count

from stins import StinsError
from stins.daemon import load_config
from stins_ophyd import Beamline
from stins_ophyd.beamline import BeamlineConfig
from stins_ophyd.plans import count_series, fly_series

PAGE = (Path(__file__).parent.parent.parent / "docs" / "how-to" / "add-a-detector.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


BACKEND, CONFORMANCE, DEVICE, _FIND = blocks("python")


def run(name: str, code: str) -> ModuleType:
    """A module of that code, which nobody can import."""
    module = ModuleType(name)
    module.__file__ = f"{name}.py"
    exec(compile(code, module.__file__, "exec"), vars(module))  # noqa: S102  # that of the page
    return module


SOURCE = f"{BACKEND}\n{CONFORMANCE}"
CAMERA = run("ramp_camera", SOURCE)
#: The tests that the how-to has, collected as if they stood here.
TestRampCamera = CAMERA.TestRampCamera


@pytest.fixture(autouse=True)
def source(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads the texts that describe the settings finds their source, in these tests and in no other."""
    monkeypatch.setitem(sys.modules, CAMERA.__name__, CAMERA)
    entry = (len(SOURCE), None, SOURCE.splitlines(keepends=True), CAMERA.__file__)
    monkeypatch.setitem(linecache.cache, CAMERA.__file__, entry)


@pytest.fixture
def beamline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Beamline]:
    """The how-to's beamline, with its package installed as far as entry points go."""
    (tmp_path / "ramp_camera.py").write_text(BACKEND)
    installed = tmp_path / "ramp_camera-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: ramp-camera\nVersion: 1.0\n")
    points = tomllib.loads(*blocks("toml"))["project"]["entry-points"]["stins.acquirers"]
    lines = [f"{name} = {place}" for name, place in points.items()]
    (installed / "entry_points.txt").write_text("\n".join(["[stins.acquirers]", *lines]))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    (tmp_path / "mine.yaml").write_text(*blocks("yaml"))
    config = load_config(tmp_path / "mine.yaml", BeamlineConfig)
    with Beamline(config.model_copy(update={"data": tmp_path / "data"})) as beamline:
        yield beamline


def test_it_counts_with_a_setting_that_a_plan_has_set(beamline: Beamline, request: pytest.FixtureRequest) -> None:
    ramp = run("ramp_device", DEVICE).RampDetector(name="ramp", controller=beamline.detectors["ramp"].controller())
    request.addfinalizer(ramp.destroy)
    engine, stops = RunEngine({}, context_managers=[]), []
    engine(bps.mv(ramp.gain, np.float64(3)))
    engine(count([ramp], 2), {"stop": lambda _, doc: stops.append(doc)})
    assert stops[0]["exit_status"] == "success"
    with h5py.File(ramp.controller.snapshot.recorder.series.file) as written:
        assert np.array_equal(written["/entry/data/data"][:, 0, :3], [[0, 3, 6]] * 2)
    # A plan's settings: those that it has, although it has no period; one that it has not is refused by name.
    engine(count_series(ramp, 1, frames=2, exposure_s=0.01), {"stop": lambda _, doc: stops.append(doc)})
    assert stops[1]["exit_status"] == "success"
    assert [ramp.frames.get(), ramp.exposure_s.get()] == [1, 0.02]
    with pytest.raises(StinsError, match="ramp: period_s: backend ramp has no such setting; it has: exposure_s, gain"):
        engine(fly_series(ramp, 2, exposure_s=0.01, deadtime_s=0.01))
    assert ramp.exposure_s.get() == 0.02
