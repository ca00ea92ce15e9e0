"""What `prepare` may be asked for, and how it is understood. No processes."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from stins import StinsError
from stins.control import AcquirerState, AcquirerStatus
from stins_ophyd import DetectorTrigger, EigerDetector, PilatusDetector, StinsDetector, TriggerInfo

#: What each of the parts has to say: mode, frames of each trigger, triggers.
ARMED = [
    (TriggerInfo(12), ("internal", 12, 1)),
    (TriggerInfo(1, collections_per_event=8), ("software", 8, 1)),
    (TriggerInfo(12, collections_per_event=2), ("internal", 24, 1)),
    (TriggerInfo(12, events_per_kickoff=4, collections_per_event=2), ("software", 8, 3)),
    (TriggerInfo(12, events_per_kickoff=12), ("internal", 12, 1)),
    (TriggerInfo(3, DetectorTrigger.EXTERNAL_EDGE, collections_per_event=2), ("external", 1, 6)),
    (TriggerInfo(3, DetectorTrigger.EXTERNAL_LEVEL), ("external", 1, 3)),
    (TriggerInfo(3, DetectorTrigger.EXTERNAL, collections_per_event=2), ("external", 2, 3)),
    (TriggerInfo(6, DetectorTrigger.EXTERNAL_EDGE, events_per_kickoff=2), ("external", 1, 6)),
    (TriggerInfo(6, DetectorTrigger.EXTERNAL, collections_per_event=2, events_per_kickoff=3), ("external", 2, 6)),
]


@pytest.mark.parametrize(("info", "expected"), ARMED)
def test_events_become_frames_of_triggers(info: TriggerInfo, expected: tuple[str, int, int]) -> None:
    assert (info.mode, info.frames_per_trigger, info.frames // info.frames_per_trigger) == expected


@pytest.mark.parametrize(
    ("info", "times"),
    [
        (TriggerInfo(), {}),
        (TriggerInfo(livetime=0.2), {"exposure_s": 0.2}),
        (TriggerInfo(livetime=0.2, deadtime=0.05), {"exposure_s": 0.2, "period_s": 0.25}),
        (TriggerInfo(deadtime=0.05), {"period_s": 0.15}),
        (TriggerInfo(1, DetectorTrigger.EXTERNAL_LEVEL, livetime=0.2), {}),
    ],
)
def test_times_are_set_where_they_are_given(info: TriggerInfo, times: dict[str, float]) -> None:
    assert info.times(exposure_s=0.1) == pytest.approx(times)


def test_the_object_of_ophyd_async_says_the_same() -> None:
    core = pytest.importorskip("ophyd_async.core")
    theirs = core.TriggerInfo(
        trigger=core.DetectorTrigger.EXTERNAL_EDGE,
        livetime=0.1,
        deadtime=0.02,
        exposures_per_collection=3,
        collections_per_event=2,
        number_of_events=5,
    )
    assert TriggerInfo.of(theirs) == TriggerInfo(
        number_of_events=5,
        trigger=DetectorTrigger.EXTERNAL_EDGE,
        livetime=0.1,
        deadtime=0.02,
        exposures_per_collection=3,
        collections_per_event=2,
        # Its own default, which it says with each of its objects.
        exposure_timeout=10.12,
    )


def test_each_trigger_of_ophyd_async_is_known() -> None:
    core = pytest.importorskip("ophyd_async.core")
    for trigger in core.DetectorTrigger:
        assert TriggerInfo.of(core.TriggerInfo(trigger=trigger)).trigger.name == trigger.name


def older(**values: Any) -> SimpleNamespace:
    """The shape that it had before."""
    usual = {"trigger": SimpleNamespace(name="INTERNAL"), "number_of_events": 1, "livetime": 0.0, "deadtime": 0.0}
    return SimpleNamespace(**{**usual, **values})


def test_a_list_of_events_is_as_many_kickoffs() -> None:
    info = TriggerInfo.of(older(number_of_events=[4, 4, 4]))
    assert (info.number_of_events, info.events_per_kickoff, info.kickoffs) == (12, 4, 3)


REFUSED = [
    (older(number_of_events=[4, 5]), r"number_of_events: got \[4, 5\], expected the same number of events"),
    (older(number_of_events=0), "number_of_events: got 0, expected a whole number of at least 1"),
    (older(number_of_events=2.5), "number_of_events: got 2.5"),
    (older(collections_per_event=0), "collections_per_event: got 0"),
    (older(livetime=-1.0), "livetime: got -1.0, expected seconds"),
    (older(exposure_timeout=float("nan")), "exposure_timeout: got nan"),
    (older(trigger="laser"), "trigger: got 'laser', expected one of INTERNAL, EXTERNAL_EDGE, EXTERNAL_LEVEL"),
    ("ten", "prepare: got 'ten', expected a number of frames or a TriggerInfo"),
    (True, "prepare: got True, expected a number"),
]


@pytest.mark.parametrize(("value", "text"), REFUSED)
def test_what_makes_no_sense_is_refused_by_name(value: object, text: str) -> None:
    with pytest.raises(StinsError, match=text):
        TriggerInfo.of(value)


def test_kickoffs_that_make_no_whole_series_are_refused() -> None:
    with pytest.raises(StinsError, match=r"events_per_kickoff: got 4, expected 0 .* number_of_events = 10"):
        TriggerInfo(10, events_per_kickoff=4)
    with pytest.raises(StinsError, match="got 5 with trigger SOFTWARE, expected 0: each `trigger` takes an event"):
        TriggerInfo(10, DetectorTrigger.SOFTWARE, events_per_kickoff=5)


@pytest.mark.parametrize(
    ("info", "settings"),
    [
        (TriggerInfo(6, DetectorTrigger.EXTERNAL_LEVEL, exposures_per_collection=4, events_per_kickoff=3), {}),
        (
            TriggerInfo(6, DetectorTrigger.EXTERNAL, events_per_kickoff=3),
            {"cable_mode": "extg", "exposures_per_image": 4},
        ),
    ],
)
def test_frames_of_several_pulses_have_one_kickoff(info: TriggerInfo, settings: dict[str, Any]) -> None:
    can = acquirer("eiger", "internal", "software", "edge", "level")
    can = msgspec.structs.replace(can, settings={**can.settings, **settings})
    with pytest.raises(StinsError, match="got 4 pulses for each frame with 2 kickoffs, expected one pulse for each"):
        EigerDetector.triggering.settings_for(info, can)
    # It is the pulses of a frame that cannot be told apart, not the mode.
    EigerDetector.triggering.settings_for(replace(info, events_per_kickoff=0), can)


def acquirer(backend: str, *triggers: Any) -> AcquirerStatus:
    """An idle one."""
    return AcquirerStatus(
        name="x",
        backend=backend,
        state=AcquirerState.IDLE,
        boot_id="b",
        pid=1,
        triggers=triggers,
        settings={"exposure_s": 0.1} | ({"exposures_per_frame": 5} if backend == "pilatus" else {}),
    )


SET = [
    (StinsDetector, TriggerInfo(3, DetectorTrigger.EXTERNAL_LEVEL), {"cable_mode": "level"}),
    (EigerDetector, TriggerInfo(3, DetectorTrigger.EXTERNAL_EDGE), {"cable_mode": "exts"}),
    (EigerDetector, TriggerInfo(3, DetectorTrigger.EXTERNAL_LEVEL), {"cable_mode": "exte"}),
    (
        EigerDetector,
        TriggerInfo(3, DetectorTrigger.EXTERNAL_LEVEL, exposures_per_collection=4),
        {"cable_mode": "extg", "exposures_per_image": 4},
    ),
    (EigerDetector, TriggerInfo(3, DetectorTrigger.EXTERNAL), {}),
    (PilatusDetector, TriggerInfo(3, DetectorTrigger.EXTERNAL_LEVEL), {"cable_mode": "gate"}),
    (PilatusDetector, TriggerInfo(3, exposures_per_collection=2), {"exposures_per_frame": 2}),
    # One is a number like any other: what another plan summed does not stay.
    (PilatusDetector, TriggerInfo(3, exposures_per_collection=1), {"exposures_per_frame": 1}),
    (PilatusDetector, TriggerInfo(3), {}),
    (EigerDetector, TriggerInfo(3, exposures_per_collection=1), {}),
]


@pytest.mark.parametrize(("kind", "info", "changes"), SET)
def test_each_detector_has_its_settings_for_a_trigger(
    kind: type[StinsDetector], info: TriggerInfo, changes: dict[str, Any]
) -> None:
    can = acquirer(kind.backend, "internal", "software", "edge", "level")
    assert kind.triggering.settings_for(info, can) == changes


def test_a_trigger_that_the_detector_lacks_is_refused_with_what_it_has() -> None:
    with pytest.raises(StinsError) as error:
        StinsDetector.triggering.settings_for(
            TriggerInfo(3, DetectorTrigger.EXTERNAL_LEVEL), acquirer("replay", "internal", "edge")
        )
    assert str(error.value) == (
        "got trigger EXTERNAL_LEVEL, expected one of INTERNAL, EXTERNAL_EDGE: that is what the replay detector can"
    )


def test_exposures_that_the_detector_does_not_sum_are_refused_with_what_it_sums() -> None:
    can = acquirer("pilatus", "internal", "software", "edge")
    with pytest.raises(StinsError) as error:
        PilatusDetector.triggering.settings_for(
            TriggerInfo(3, DetectorTrigger.EXTERNAL_EDGE, exposures_per_collection=4), can
        )
    assert str(error.value) == (
        "got exposures_per_collection 4 with trigger EXTERNAL_EDGE, expected 1 (more with trigger INTERNAL, SOFTWARE): "
        "that is what the pilatus detector can"
    )
