"""The one loop, over real sockets: what a controller asks for, and what a recorder receives."""

import json
import re
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from stins_acquirers.simulated import SimulatedBackend, SimulatedSettings

from stins import EndSeries, OpenSeries, Outcome, StinsError, StoreFrame
from stins.control import AcquirerState, ArmRequest, TriggerRequest

ANY_MODE = {"series_id": "s1", "filename": "a/b.h5"}


def software(frames: int = 1, triggers: int | None = None) -> ArmRequest:
    return ArmRequest(**ANY_MODE, trigger_mode="software", frames_per_trigger=frames, triggers=triggers)


def internal(frames: int = 1) -> ArmRequest:
    return ArmRequest(**ANY_MODE, frames_per_trigger=frames)


def test_an_internal_series_arrives_complete(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    det = start(compression="bslz4")
    consumer = consume(det.publisher.endpoint)
    assert det.service.arm(internal(300)).state is AcquirerState.ARMED
    assert det.service.trigger(TriggerRequest()).state in (AcquirerState.ACQUIRING, AcquirerState.IDLE)
    _, frames, end = consumer.series()
    assert [frame.header.frame_number for frame in frames] == list(range(300))
    assert (end.result.outcome, end.result.reasons) == (Outcome.COMPLETE, ())
    status = det.until_state(AcquirerState.IDLE)
    assert (status.frames_sent, status.frames_dropped, status.frames_expected) == (300, 0, 300)


def test_the_series_start_says_who_when_and_what(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    det = start(series_arrays=True, modules=2)
    consumer = consume(det.publisher.endpoint)
    det.service.arm(ArmRequest(**ANY_MODE, frames_per_trigger=5, metadata={"sample": {"name": "LaB6"}}))
    opened = consumer.until(OpenSeries)[-1]
    series = opened.start.series
    assert (series.id, series.source, series.filename, series.frames_expected) == ("s1", "det", "a/b.h5", 5)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", opened.start.arm_time)
    assert opened.start.detector_specific["metadata"] == {"sample": {"name": "LaB6"}}
    assert opened.start.frame.shape == (2, 8, 8)
    assert opened.start.acquisition.incident_energy == 12_400
    assert len(opened.payload) == 2
    det.service.abort()


def test_a_software_series_waits_armed_between_its_triggers(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = start()
    consumer = consume(det.publisher.endpoint)
    det.service.arm(software(frames=2, triggers=2))
    det.service.trigger(TriggerRequest())
    consumer.until(StoreFrame, 2)
    assert det.until_state(AcquirerState.ARMED).frames_sent == 2
    det.service.trigger(TriggerRequest())
    assert consumer.until(EndSeries)[-1].result.stored == 4


def test_disarming_ends_an_open_series_as_finished(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    det = start()
    consumer = consume(det.publisher.endpoint)
    det.service.arm(software())
    det.service.trigger(TriggerRequest())
    det.until_state(AcquirerState.ARMED)
    assert det.service.disarm().state is AcquirerState.IDLE
    assert consumer.series()[2].result.outcome is Outcome.COMPLETE


def test_disarming_aborting_and_resetting_while_idle_do_no_harm(start: Callable[..., Any]) -> None:
    det = start()
    for command in (det.service.disarm, det.service.abort, det.service.reset):
        assert command().state is AcquirerState.IDLE


def test_aborting_a_running_series_says_so_in_its_end(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    det = start(period_s=0.01)
    consumer = consume(det.publisher.endpoint)
    det.service.arm(internal(100_000))
    det.service.trigger(TriggerRequest())
    consumer.until(StoreFrame, 3)
    assert det.service.abort().state is AcquirerState.IDLE
    end = consumer.until(EndSeries)[-1].result.end
    assert (end.status, end.reason) == ("aborted", "aborted on request")


def test_frames_taken_again_are_marked_so(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    det = start()
    consumer = consume(det.publisher.endpoint)
    det.service.arm(software())
    for first_frame in (0, 1, 2, 1, 2):
        det.service.trigger(TriggerRequest(first_frame=first_frame))
        det.until_state(AcquirerState.ARMED)
    det.service.disarm()
    _, frames, end = consumer.series()
    seen = [(frame.header.frame_number, bool(frame.header.retake)) for frame in frames]
    assert seen == [(0, False), (1, False), (2, False), (1, True), (2, True)]
    assert (end.result.outcome, end.result.rows, end.result.retaken) == (Outcome.COMPLETE, 3, 2)


def test_a_first_frame_beyond_the_next_is_refused(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    det = start()
    consume(det.publisher.endpoint)
    det.service.arm(software())
    with pytest.raises(StinsError, match="first_frame: got 7, expected 0 to 0, the next"):
        det.service.trigger(TriggerRequest(first_frame=7))
    assert det.status.state is AcquirerState.ARMED


def test_without_a_recorder_arming_is_refused_in_time_and_works_once_there_is_one(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = start(peer_timeout_s=0.2)
    endpoint = det.publisher.endpoint
    with pytest.raises(StinsError, match=rf"det: arm: no recorder connected to {re.escape(endpoint)} within 0.2 s"):
        det.service.arm(internal())
    assert det.status.state is AcquirerState.IDLE
    consumer = consume(endpoint)
    consumer.until_connected()
    det.service.arm(internal())
    det.service.trigger(TriggerRequest())
    assert consumer.series()[2].result.outcome is Outcome.COMPLETE


def test_a_source_that_cannot_wait_drops_and_declares(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    det = start(period_s=1e-5, exposure_s=1e-6, shape=(512, 512), hwm=2)
    consumer = consume(det.publisher.endpoint)
    consumer.until_connected()
    det.service.arm(internal(2000))
    det.service.trigger(TriggerRequest())
    # Nobody takes 100,000 frames/s; but somebody must take the series-end.
    _, frames, end = consumer.series()
    dropped = det.until_state(AcquirerState.IDLE).frames_dropped
    assert dropped > 0
    assert len(frames) + dropped == 2000
    assert end.result.missing_count == dropped
    assert f"the sender dropped {dropped} of them" in end.result.reasons
    assert consumer.message_ids == list(range(len(frames) + 2))


def test_a_source_that_can_wait_is_held_up_and_loses_nothing(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = start(shape=(512, 512), hwm=2)
    consumer = consume(det.publisher.endpoint)
    det.service.arm(internal(200))
    det.service.trigger(TriggerRequest())
    _, frames, end = consumer.series()
    assert (len(frames), end.result.outcome) == (200, Outcome.COMPLETE)


def test_a_recorder_that_takes_nothing_any_more_puts_it_into_fault_and_commands_are_heard_meanwhile(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = start(shape=(512, 512), hwm=2, peer_timeout_s=1.0)
    consumer = consume(det.publisher.endpoint)
    consumer.until_connected()
    det.service.arm(internal(100_000))
    det.service.trigger(TriggerRequest())
    with pytest.raises(StinsError, match="cannot configure while acquiring"):
        det.service.configure({})
    status = det.until_state(AcquirerState.FAULT)
    assert re.match(r"det: no recorder took frame \d+ from tcp://127.0.0.1:\d+ within 1 s", status.reason)
    consumer.until(StoreFrame)
    assert det.service.reset().state is AcquirerState.IDLE


def test_after_a_fault_the_next_series_works(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    backend = Breaking()
    det = start(backend)
    consumer = consume(det.publisher.endpoint)
    det.service.arm(internal(10))
    det.service.trigger(TriggerRequest())
    assert "it broke" in det.until_state(AcquirerState.FAULT).reason
    end = consumer.until(EndSeries)[-1].result.end
    assert (end.status, "it broke" in end.reason) == ("failed", True)
    backend.broken = False
    det.service.arm(internal(10))
    det.service.trigger(TriggerRequest())
    assert consumer.series()[2].result.outcome is Outcome.COMPLETE


def test_a_command_that_a_state_forbids_is_refused_and_says_what_is_allowed(start: Callable[..., Any]) -> None:
    det = start()
    with pytest.raises(StinsError, match="cannot trigger while idle; allowed now: arm, configure"):
        det.service.trigger(TriggerRequest())


@pytest.mark.parametrize("field", ["frames_per_trigger", "triggers"])
def test_a_series_of_no_frames_is_refused_by_name(start: Callable[..., Any], field: str) -> None:
    with pytest.raises(StinsError, match=f"arm: {field}: got 0, expected at least 1"):
        start().service.arm(ArmRequest(series_id="s", **{field: 0}))


def test_more_meta_data_than_a_header_holds_is_refused_and_opens_no_series(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = start()
    consumer = consume(det.publisher.endpoint)
    with pytest.raises(StinsError, match=r"det: series-start: .*header: got \d+ bytes, expected at most 262144"):
        det.service.arm(ArmRequest(**ANY_MODE, metadata={"notes": "x" * 300_000}))
    det.service.arm(internal())
    det.service.trigger(TriggerRequest())
    assert consumer.series()[2].result.outcome is Outcome.COMPLETE
    assert consumer.message_ids == [0, 1, 2]


def test_meta_data_nested_deeper_than_a_receiver_takes_is_refused_by_name(start: Callable[..., Any]) -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"a": deep}
    det = start()
    with pytest.raises(StinsError, match=r"detector_specific\.metadata\.a\.a.*deeper than 32 levels"):
        det.service.arm(ArmRequest(**ANY_MODE, metadata=deep))
    assert det.status.state is AcquirerState.IDLE


@pytest.mark.parametrize(
    ("telling", "problem"),
    [
        ({"notes": "x" * 300_000}, r"det: frame 0: got a header of \d+ bytes, expected at most 262144"),
        (json.loads('{"a":' * 40 + "1" + "}" * 40), r"det: frame 0: detector_specific.a.*deeper than 32 levels"),
    ],
    ids=["too long", "too deep"],
)
def test_a_frame_that_every_receiver_would_refuse_ends_in_fault_and_is_declared(
    start: Callable[..., Any], consume: Callable[..., Any], telling: dict[str, Any], problem: str
) -> None:
    det = start(Telling(telling))
    consumer = consume(det.publisher.endpoint)
    det.service.arm(internal(3))
    det.service.trigger(TriggerRequest())
    assert re.match(problem, det.until_state(AcquirerState.FAULT).reason)
    _, frames, end = consumer.series()
    assert (frames, end.result.end.status, end.result.missing) == ([], "failed", ((0, 2),))
    assert consumer.message_ids == [0, 1]


def test_settings_and_units_stand_in_the_status(start: Callable[..., Any]) -> None:
    det = start()
    status = det.service.configure({"exposure_s": 0.25})
    assert (status.settings["exposure_s"], status.units["exposure_s"]) == (0.25, "s")
    assert (status.frame.shape, status.frame.dtype) == ((8, 8), "uint16")


def test_stopping_the_acquirer_ends_its_series_as_aborted(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = start()
    consumer = consume(det.publisher.endpoint)
    det.service.arm(software())
    det.service.stop()
    assert consumer.until(EndSeries)[-1].result.end.reason == "the acquirer was stopped"
    with pytest.raises(StinsError, match="det: arm: the acquirer is stopping"):
        det.service.arm(software())


def test_progress_is_pushed_to_listeners(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    det = start()
    consumer = consume(det.publisher.endpoint)
    states, done = [], threading.Event()

    def changed() -> None:
        states.append(det.status.state)
        if det.status.frames_sent == 5 and det.status.state is AcquirerState.IDLE:
            done.set()

    forget = det.service.board.listen(changed)
    det.service.arm(internal(5))
    det.service.trigger(TriggerRequest())
    assert done.wait(10)
    forget()
    assert AcquirerState.ARMED in states
    consumer.series()


class Telling(SimulatedBackend):
    """A backend that tells much of its frames."""

    def __init__(self, telling: dict[str, Any]) -> None:
        super().__init__(SimulatedSettings(shape=(8, 8)))
        self._telling = telling

    def read(self, timeout_s: float) -> Any:
        return [msgspec.structs.replace(frame, detector_specific=self._telling) for frame in super().read(timeout_s)]


class Breaking(SimulatedBackend):
    """A backend with a bug."""

    def __init__(self) -> None:
        super().__init__(SimulatedSettings(shape=(8, 8)))
        self.broken = True

    def read(self, timeout_s: float) -> Any:
        if self.broken:
            raise RuntimeError("it broke")
        return super().read(timeout_s)
