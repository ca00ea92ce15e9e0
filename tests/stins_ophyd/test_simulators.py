"""A simulator beside its acquirer: what is refused, and what stands behind the signals of a device."""

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from stins.daemon import ConfigError
from stins_ophyd import EigerDetector, PilatusDetector, ProcessError
from stins_ophyd.beamline import Beamline, BeamlineConfig, DetectorConfig, SimulatorProcess
from tests.stins_ophyd.dectris_kit import EIGER, PILATUS


def beamline(folder: Path, simulator: dict[str, Any], backend: str = "eiger", **settings: Any) -> Beamline:
    config = DetectorConfig(simulator=simulator, acquirer={"backend": backend, "settings": settings})
    return Beamline(BeamlineConfig(data=folder, detectors={"det": config}))


def test_a_simulator_that_dies_is_started_again_where_it_was(tmp_path: Path) -> None:
    simulator = SimulatorProcess({**PILATUS, "folder": tmp_path / "ramdisk"}, {"backend": "pilatus"}, tmp_path / "log")
    before = simulator.process.told
    control = before["control"].removeprefix("tcp://")
    assert simulator.places == {"simulator": f"camserver://{control}{tmp_path}/ramdisk", "hook": before["hook"]}
    simulator.process.send_signal(signal.SIGKILL)
    assert simulator.process.wait(20)
    told = simulator.revive()
    simulator.stop()
    assert told is not None
    assert "was ended by SIGKILL" in told
    assert simulator.process.told == {**before, "pid": simulator.process.pid}
    assert simulator.acquirer["settings"]["folder"] == str(tmp_path / "ramdisk")


@pytest.mark.parametrize(
    ("simulator", "backend", "settings", "said"),
    [
        ({"kind": "orca"}, "eiger", {}, "detectors.det.simulator.kind: got 'orca', expected one of eiger, pilatus"),
        ({"kind": "pilatus"}, "eiger", {}, "simulator.kind: the acquirer's backend is 'eiger', expected 'pilatus'"),
    ],
)
def test_a_simulator_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, simulator: dict[str, Any], backend: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        beamline(tmp_path, simulator, backend, **settings).start()
    assert said in str(error.value)


def test_nobody_takes_a_simulator_for_the_detector_whose_host_is_given(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"detectors\.det\.acquirer\.settings: got host beside a simulator"):
        beamline(tmp_path, EIGER, host="172.31.1.1").start()


def test_what_a_simulator_refuses_is_said_and_what_an_acquirer_refuses_leaves_no_simulator(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"detectors\.det\.simulator: (.|\n)*model: got 'eiger9'"):
        beamline(tmp_path, {"kind": "eiger", "model": "eiger9"}).start()
    with pytest.raises(ProcessError, match=r"detectors\.det\.acquirer: (.|\n)*exposures: unknown field"):
        beamline(tmp_path, EIGER, exposures=1).start()
    assert not any("simulate" in process.cmdline() for process in psutil.Process().children(recursive=True))


def test_every_signal_is_a_setting_of_its_acquirer() -> None:
    """The names are the acquirer's: one that it lacks would never be set."""
    from stins_acquirers.dectris import EigerSettings
    from stins_acquirers.dectris.pilatus import PilatusSettings

    from stins_ophyd.settings import SettingSignal

    for device_class, settings in ((EigerDetector, EigerSettings), (PilatusDetector, PilatusSettings)):
        components = device_class._sig_attrs.items()
        names = {name for name, component in components if issubclass(component.cls, SettingSignal)}
        assert names <= set(settings.model_fields)
