"""The acquirer's states are a table, and the table is whole."""

import pytest
from stins_acquirers.machine import TRANSITIONS, AcquirerEvent, NotNowError, next_state

from stins.control import AcquirerState


@pytest.mark.parametrize("state", AcquirerState)
def test_every_state_has_rows_and_can_fail_end_and_be_left(state: AcquirerState) -> None:
    events = {event for s, event in TRANSITIONS if s is state}
    assert {AcquirerEvent.FAIL, AcquirerEvent.END, AcquirerEvent.RESET} <= events


@pytest.mark.parametrize("state", AcquirerState)
@pytest.mark.parametrize("event", AcquirerEvent)
def test_a_pair_without_a_row_is_refused_and_names_what_is_allowed(state: AcquirerState, event: AcquirerEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
        return
    with pytest.raises(NotNowError, match=f"cannot {event.value} while {state.value}; allowed now: ..."):
        next_state(state, event)


def test_every_state_can_be_reached() -> None:
    assert set(TRANSITIONS.values()) == set(AcquirerState)
