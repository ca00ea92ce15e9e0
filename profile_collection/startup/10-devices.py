"""The devices: each detector of the beamline file under its name, and a simulated motor. Needs session."""

from ophyd.sim import SynAxis

motor = SynAxis(name="motor", labels={"motors"})
detectors = session.detectors
globals().update(detectors)
