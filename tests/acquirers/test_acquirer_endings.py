"""How the one loop ends a series, and what it makes of a backend with a bug."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from stins_acquirers.backend import Frame, HardwareError
from stins_acquirers.simulated import SimulatedBackend, SimulatedSettings

from stins import EndSeries, Outcome, StinsError, StoreFrame
from stins.control import AcquirerState, AcquirerStatus, ArmRequest, FrameDescription, TriggerRequest
from stins.messages import Header, Payload
from stins.transport import Link

INTERNAL = ArmRequest(series_id="s", frames_per_trigger=1)
SOFTWARE = ArmRequest(series_id="s", trigger_mode="software", triggers=None)
WITHOUT_END = ArmRequest(series_id="s", triggers=None)


class Recording(SimulatedBackend):
    """Notes how it was ended; the other backends here have one trait each."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(SimulatedSettings(shape=(8, 8), **settings))
        self.calls: list[str] = []

    def disarm(self) -> None:
        self.calls.append("disarm")
        super().disarm()

    def close(self) -> None:
        self.calls.append("close")
        super().close()


class Stuck(Recording):
    """Cannot be disarmed; closed it can be."""

    def disarm(self) -> None:
        raise HardwareError("the disarm failed, too")


class Holding(Recording):
    """Has one more frame when it is disarmed."""

    rest: Sequence[Frame] = ()

    def read(self, timeout_s: float) -> Sequence[Frame]:
        rest, self.rest = self.rest, ()
        return rest or super().read(timeout_s)

    def disarm(self) -> None:
        if self._series:
            self.trigger(TriggerRequest())
            self.rest = super().read(0.0)
        super().disarm()


class Endless(Recording):
    """Goes on when it is disarmed."""

    def __init__(self) -> None:
        super().__init__(exposure_s=0.01, period_s=0.01)
        self.disarmed = threading.Event()

    def read(self, timeout_s: float) -> Sequence[Frame]:
        return super().read(1.0)

    def disarm(self) -> None:
        self.disarmed.set()


class Mute(Recording):
    """Cannot say what its frames look like."""

    broken = False

    def describe(self) -> FrameDescription:
        if self.broken:
            raise RuntimeError("no idea")
        return super().describe()


class Losing(Recording):
    """Loses the two frames behind its first, and then cannot go on."""

    came = False

    def read(self, timeout_s: float) -> Sequence[Frame]:
        if self.came:
            raise HardwareError("the cable is out")
        frames = super().read(timeout_s)[:1]
        self.came = bool(frames)
        return frames

    def lost(self) -> tuple[tuple[int, int], ...]:
        return ((1, 2),)

    def why_lost(self, *, quickly: bool = False) -> str:
        return "two were dropped"


class Leaky(Recording):
    """Loses its second frame, and is written as backends were before there was `quickly`."""

    def read(self, timeout_s: float) -> Sequence[Frame]:
        frames = [frame for frame in super().read(timeout_s) if frame.number != 1]
        return [
            msgspec.structs.replace(frame, frames_dropped=((1, 1),)) if frame.number == 2 else frame for frame in frames
        ]

    def lost(self) -> tuple[tuple[int, int], ...]:
        return ()

    def why_lost(self) -> str:
        return "one was dropped"


class Speechless(Leaky):
    """And cannot say why at all."""

    def why_lost(self) -> str:
        raise RuntimeError("no idea")


class Unheard(Recording):
    """Nobody takes the end of its series."""

    deaf = True

    def wrap(self, link: Link) -> Link:
        self._link = link
        return self

    def send(self, parts: Sequence[Payload], timeout_s: float = 0.0, header: Header | None = None) -> bool:
        return not (self.deaf and b'"series-end"' in bytes(parts[0])) and self._link.send(parts, timeout_s, header)


# -- in good order ------------------------------------------------------------------------------------


def test_what_the_detector_still_holds_is_sent_first(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    det = start(Holding())
    consumer = consume(det.publisher.endpoint)
    det.service.arm(SOFTWARE)
    det.service.trigger(TriggerRequest())
    det.until_state(AcquirerState.ARMED)
    det.service.disarm()
    _, frames, end = consumer.series()
    assert ([frame.header.frame_number for frame in frames], end.result.outcome) == ([0, 1], Outcome.COMPLETE)


def test_what_was_lost_before_a_fault_is_missing_by_its_number(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = start(Losing())
    consumer = consume(det.publisher.endpoint)
    det.service.arm(WITHOUT_END)
    det.service.trigger(TriggerRequest())
    _, frames, end = consumer.series()
    det.until_state(AcquirerState.FAULT)
    assert [frame.header.frame_number for frame in frames] == [0]
    assert (end.result.outcome, end.result.missing) == (Outcome.INCOMPLETE, ((1, 2),))


@pytest.mark.parametrize(("backend", "why"), [(Leaky, "one was dropped"), (Speechless, "")])
def test_a_backend_that_fails_to_say_why_it_loses_frames_loses_no_more_than_those(
    backend: type[Leaky], why: str, start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = start(backend(exposure_s=0.01, period_s=0.01))
    consumer = consume(det.publisher.endpoint)
    det.service.arm(msgspec.structs.replace(INTERNAL, frames_per_trigger=20))
    det.service.trigger(TriggerRequest())
    result = consumer.series()[2].result
    status = det.until_state(AcquirerState.IDLE)
    assert (result.end.status, result.missing) == ("finished", ((1, 1),))
    assert (status.frames_sent, status.frames_dropped, status.frames_not_given) == (19, 1, 1)
    assert (status.drop_reason, status.reason) == (why, "")


def test_an_abort_names_what_was_lost_though_nobody_can_say_why(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    class Silent(Losing):
        def read(self, timeout_s: float) -> Sequence[Frame]:
            return () if self.came else super().read(timeout_s)

        def why_lost(self, *, quickly: bool = False) -> str:
            raise RuntimeError("no idea")

    det = start(Silent())
    consumer = consume(det.publisher.endpoint)
    det.service.arm(WITHOUT_END)
    det.service.trigger(TriggerRequest())
    consumer.until(StoreFrame)
    det.service.abort()
    end = consumer.until(EndSeries)[-1].result.end
    assert (end.status, end.reason, end.frames_dropped) == ("aborted", "aborted on request", ((1, 2),))


def test_a_backend_is_disarmed_after_its_own_end_too(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    backend = Recording()
    det = start(backend)
    consumer = consume(det.publisher.endpoint)
    det.service.arm(INTERNAL)
    det.service.trigger(TriggerRequest())
    consumer.series()
    det.until_state(AcquirerState.IDLE)
    assert backend.calls == ["disarm"]


def test_a_backend_is_disarmed_if_its_opening_is_refused(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    backend = Recording()
    det = start(backend)
    consume(det.publisher.endpoint)
    with pytest.raises(StinsError, match="series-start"):
        det.service.arm(ArmRequest(series_id="s", metadata={"notes": "x" * 300_000}))
    assert (backend.calls, det.status.state) == (["disarm"], AcquirerState.IDLE)


def test_why_arming_failed_is_told_though_the_disarm_behind_it_fails_too(
    start: Callable[..., Any], consume: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    det = start(Stuck())
    consume(det.publisher.endpoint)
    with pytest.raises(StinsError, match="series-start"):
        det.service.arm(ArmRequest(series_id="s", metadata={"notes": "x" * 300_000}))
    assert "the disarm failed, too" in caplog.text


def test_a_stopped_service_closes_its_backend(start: Callable[..., Any]) -> None:
    backend = Recording()
    start(backend).stop()
    assert backend.calls == ["close"]


# -- an end that fails --------------------------------------------------------------------------------


def test_a_detector_that_goes_on_when_disarmed_ends_in_fault_within_a_deadline(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = start(Endless(), peer_timeout_s=0.1)
    consumer = consume(det.publisher.endpoint)
    consumer.until_connected()
    det.service.arm(WITHOUT_END)
    det.service.trigger(TriggerRequest())
    with pytest.raises(StinsError, match=r"det: the detector still held frames 0.3 s after it was disarmed"):
        det.service.disarm()
    assert det.status.state is AcquirerState.FAULT
    assert consumer.series()[2].result.end.status == "failed"


def test_stopping_is_heard_while_a_detector_is_disarmed(start: Callable[..., Any], consume: Callable[..., Any]) -> None:
    backend = Endless()
    det = start(backend, peer_timeout_s=15.0)
    consumer = consume(det.publisher.endpoint)
    det.service.arm(WITHOUT_END)
    det.service.trigger(TriggerRequest())
    consumer.until(StoreFrame)
    refused: list[str] = []
    disarming = threading.Thread(target=lambda: refused.append(refusal(det.service.disarm)))
    disarming.start()
    assert backend.disarmed.wait(10)
    det.service.stop()
    disarming.join(10)
    assert refused == ["det: the acquirer was stopped while the detector still held frames"]


def refusal(command: Callable[[], AcquirerStatus]) -> str:
    with pytest.raises(StinsError) as refused:
        command()
    return str(refused.value)


@pytest.mark.parametrize("by_command", [False, True], ids=["by itself", "on command"])
def test_an_end_that_nobody_took_is_a_fault_and_the_next_series_begins_with_its_id(
    start: Callable[..., Any], consume: Callable[..., Any], *, by_command: bool
) -> None:
    backend = Unheard()
    det = start(backend, peer_timeout_s=1.0)
    consumer = consume(det.publisher.endpoint)
    det.service.arm(SOFTWARE if by_command else INTERNAL)
    det.service.trigger(TriggerRequest())
    consumer.until(StoreFrame)
    if by_command:
        assert refusal(det.service.disarm).startswith("det: no recorder took series-end")
    assert det.until_state(AcquirerState.FAULT).reason.startswith("det: no recorder took series-end")
    assert "disarm" in backend.calls
    backend.deaf = False
    det.service.arm(INTERNAL)
    det.service.trigger(TriggerRequest())
    consumer.until(EndSeries, 2)
    assert consumer.message_ids == [0, 1, 2, 3, 4]


# -- bugs ---------------------------------------------------------------------------------------------


def test_a_bug_in_describing_reaches_the_caller_and_the_loop_lives_on(start: Callable[..., Any]) -> None:
    backend = Mute()
    det = start(backend)
    backend.broken = True
    with pytest.raises(StinsError, match=r"det: configure: bug in the backend: RuntimeError\('no idea'\)"):
        det.service.configure({})
    assert (det.status.state, det.status.reason) == (
        AcquirerState.FAULT,
        "bug in the backend: RuntimeError('no idea')",
    )
    backend.broken = False
    assert det.service.reset().state is AcquirerState.IDLE


def test_a_bug_in_describing_an_armed_detector_disarms_it(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    backend = Mute()
    det = start(backend)
    consume(det.publisher.endpoint)
    backend.broken = True
    with pytest.raises(StinsError, match="det: arm: bug in the backend"):
        det.service.arm(INTERNAL)
    assert (backend.calls, det.status.state) == (["disarm"], AcquirerState.FAULT)


def test_nothing_but_a_command_asks_what_frames_look_like(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    backend = Mute()
    det = start(backend)
    consumer = consume(det.publisher.endpoint)
    det.service.arm(INTERNAL)
    backend.broken = True
    det.service.trigger(TriggerRequest())
    assert consumer.series()[2].result.outcome is Outcome.COMPLETE
    assert det.until_state(AcquirerState.IDLE).frame.shape == (8, 8)


def test_a_frame_larger_than_a_message_may_be_ends_in_fault_with_both_sizes(
    start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = start(shape=(4096, 2049), pool=1)
    consumer = consume(det.publisher.endpoint)
    det.service.arm(INTERNAL)
    det.service.trigger(TriggerRequest())
    reason = det.until_state(AcquirerState.FAULT).reason
    assert "got 16785408 bytes, expected at most 16777216" in reason
    end = consumer.series()[2].result.end
    assert (end.status, end.reason) == ("failed", reason)
