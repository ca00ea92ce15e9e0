"""How long a cable may be silent."""

import msgspec
import pytest

from stins.control import AcquirerState, AcquirerStatus, RecorderState, RecorderStatus
from stins_ophyd.controller import Goal, deadlines_of
from stins_ophyd.controller.awaited import until_recorded
from stins_ophyd.controller.snapshot import Heard, Snapshot, combine

CABLE = Goal.whole("s", 6, cable=True)


def snapshot(state: AcquirerState = AcquirerState.ARMED, sent: int = 0) -> Snapshot:
    acquirer = AcquirerStatus(name="sim", backend="b", state=state, boot_id="a", pid=1, frames_sent=sent)
    recorder = RecorderStatus(name="w", state=RecorderState.RECORDING, boot_id="r", pid=2)
    return combine(Heard(acquirer, recorder))


@pytest.mark.parametrize(
    ("goal", "moment", "longer_s"),
    [
        (CABLE, snapshot(), 60.0),
        (CABLE, snapshot(AcquirerState.ACQUIRING, sent=5), 60.0),
        # All came: what is still to happen is the recorder's.
        (CABLE, snapshot(sent=6), 0.0),
        (CABLE, snapshot(AcquirerState.IDLE, sent=5), 0.0),
        (msgspec.structs.replace(CABLE, cable=False), snapshot(), 0.0),
    ],
)
def test_a_cable_may_be_silent_as_long_as_pulses_are_awaited(goal: Goal, moment: Snapshot, longer_s: float) -> None:
    assert until_recorded(goal, 5.0, 60.0).patience(moment) == longer_s


def test_a_dcu_has_more_time_to_arm_than_its_acquirer_gives_it() -> None:
    assert deadlines_of("eiger").arm_s > 120 + 3 * 5
    assert deadlines_of("pilatus").command_s > 5 + 2
    assert deadlines_of("simulated").arm_s == 15
