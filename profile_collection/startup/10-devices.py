"""The devices: each detector of the beamline file under its name, and simulated axes. Needs session."""

from ophyd.sim import SynAxis

from stins_ophyd import PulsingAxis

motor = SynAxis(name="motor", labels={"motors"})
detectors = session.detectors
globals().update(detectors)
if "sim" in detectors:  # a simulated detector has a trigger input: fly_scan(sim, axis, 0, 1)
    axis = PulsingAxis(name="axis", labels={"motors"}, pulses=[detectors["sim"].controller.pulse])
