"""The devices: a simulated motor, and each detector of beamline.yaml under its name. Needs folder of 00-engine.py."""

import atexit
from pathlib import Path

from ophyd.sim import SynAxis

from stins_ophyd import Beamline, StinsDetector, load_beamline

beamline_config = load_beamline(Path(__file__).parent.parent / "beamline.yaml")
beamline = Beamline(beamline_config.model_copy(update={"data": folder / "data"}), folder / "log")
atexit.register(beamline.stop)
beamline.start()

motor = SynAxis(name="motor", labels={"motors"})
detectors = {
    name: StinsDetector(name=name, controller=processes.controller(), labels={"detectors"})
    for name, processes in beamline.detectors.items()
}
for _detector in detectors.values():
    _detector.controller.connect()
globals().update(detectors)
