"""The devices: a motor that is simulated, and the detectors of beamline.yaml with processes of their own."""

import atexit

from ophyd.sim import SynAxis

from stins_ophyd import StinsDetector
from stins_ophyd.beamline import Beamline, load_beamline

beamline_config = load_beamline(Path(__file__).parent.parent / "beamline.yaml")
beamline = Beamline(beamline_config.model_copy(update={"data": folder / "data"}), folder / "log")
atexit.register(beamline.stop)
beamline.start()

motor = SynAxis(name="motor", labels={"motors"})
sim = StinsDetector(name="sim", controller=beamline.detectors["sim"].controller(), labels={"detectors"})
sim.controller.connect()
