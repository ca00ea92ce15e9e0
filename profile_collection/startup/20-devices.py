"""The devices: a simulated motor, and each detector of beamline.yaml under its name. Needs folder of 00-engine.py."""

import atexit
from pathlib import Path

from ophyd.sim import SynAxis

from stins_ophyd import Beamline, load_beamline, make_detector

beamline_config = load_beamline(Path(__file__).parent.parent / "beamline.yaml")
beamline = Beamline(beamline_config.model_copy(update={"data": folder / "data"}), folder / "log")
atexit.register(beamline.stop)
beamline.start()

motor = SynAxis(name="motor", labels={"motors"})
detectors = {
    name: make_detector(name, processes.controller(), labels={"detectors"})
    for name, processes in beamline.detectors.items()
}
globals().update(detectors)
