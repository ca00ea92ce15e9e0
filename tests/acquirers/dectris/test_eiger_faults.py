"""What can be wrong with the DCU: a deadline, an error that says what to do, and the next series works."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from stins_acquirers.backend import BackendError, Ending, HardwareError, Opening
from stins_acquirers.conformance import arm_request
from stins_acquirers.dectris import EigerBackend, EigerSettings

from stins.control import TriggerRequest
from tests.acquirers.dectris.conftest import PATIENT
from tests.acquirers.dectris.eiger_kit import DEADLINE_S, read, until_over
from tests.acquirers.simulate_kit import RunningEiger, pulling, running_eiger

Make = Callable[..., EigerBackend]


@pytest.fixture
def eiger(eiger2: RunningEiger) -> RunningEiger:
    """A detector that is idle and well again behind the test."""
    return eiger2


@pytest.fixture
def doomed() -> Iterator[RunningEiger]:
    """A detector that the test may kill."""
    with running_eiger(model="eiger2-1m") as eiger:
        yield eiger


def take(backend: EigerBackend, frames: int = 2) -> list[int]:
    """A whole series, which must be complete."""
    backend.arm(arm_request(frames=frames))
    backend.trigger(TriggerRequest())
    taken, ending = until_over(backend)
    assert ending == Ending()
    backend.disarm()
    return [frame.number for frame in taken]


@pytest.fixture
def dead_port() -> Iterator[int]:
    """Nobody listens there, nor can: it is taken by who does not listen."""
    with socket.socket() as keeper:
        keeper.bind(("127.0.0.1", 0))
        yield int(keeper.getsockname()[1])


# -- before a series ----------------------------------------------------------------------------


def test_a_dcu_that_is_not_there_does_not_keep_the_acquirer_from_starting(eiger: RunningEiger, dead_port: int) -> None:
    backend = EigerBackend(EigerSettings(host="127.0.0.1", http_port=dead_port, stream_port=eiger.v2_port))
    assert (backend.describe(), backend.settings.exposure_s) == (None, None)
    with pytest.raises(
        HardwareError, match=r"DCU at http://127.0.0.1:\d+: arm: GET .*; is it switched on, and is this"
    ):
        backend.arm(arm_request())
    # Whoever wants to know what its frames look like is told, too.
    with pytest.raises(HardwareError, match=r"configure: GET .*; is it switched on, and is this its address"):
        backend.configure({})
    backend.configure({"http_port": eiger.port})
    assert take(backend) == [0, 1]
    backend.close()


def test_an_address_where_nobody_is_changes_nothing(make: Make, dead_port: int) -> None:
    backend = make()
    before = backend.settings
    with pytest.raises(HardwareError, match=r"configure: GET /detector/api/version: .*refused"):
        backend.configure({"http_port": dead_port})
    assert backend.settings == before
    assert take(backend) == [0, 1]


def test_a_dcu_that_does_not_answer_is_told_by_its_deadline(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger, answer_timeout_s=1.0)
    eiger.fault("silence", key="detector/config/count_time")
    with pytest.raises(HardwareError, match=r"arm: GET .*/config/count_time: no answer within 1 s; it hangs, or has"):
        backend.arm(arm_request())
    eiger.clear_faults()
    backend.configure(PATIENT)
    assert take(backend) == [0, 1]


def test_how_long_the_dcu_may_take_can_be_set_while_it_is_connected(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger, answer_timeout_s=60)
    backend.configure({"answer_timeout_s": 0.3})
    eiger.fault("silence", key="detector/config/count_time")
    with pytest.raises(HardwareError, match=r"no answer within 0\.3 s"):
        backend.arm(arm_request())


def test_a_dcu_that_cannot_list_its_keys_is_asked_for_those_that_are_known(make: Make, eiger: RunningEiger) -> None:
    eiger.fault("http", key="detector/config/keys", status=404)
    backend = make(eiger, exposure_s=0.003)
    assert (backend.settings.exposure_s, backend.settings.roi_mode) == (0.003, "disabled")
    assert take(backend) == [0, 1]


def test_a_dcu_that_fails_when_it_is_set_up_does_not_end_the_acquirer(make: Make, eiger: RunningEiger) -> None:
    eiger.fault("http", key="detector/config/count_time", status=503)
    backend = make(eiger)
    with pytest.raises(
        HardwareError, match=r"arm: GET .*/config/count_time: HTTP 503: .*; does its service start just"
    ):
        backend.arm(arm_request())
    eiger.clear_faults()
    assert take(backend) == [0, 1]


def test_what_another_client_initializes_is_waited_for_and_never_taken_over(make: Make) -> None:
    with running_eiger(initialize_s=600) as eiger, ThreadPoolExecutor() as background:
        initialized = background.submit(eiger.client.put, eiger.address("detector", "command", "initialize"))
        deadline = time.monotonic() + DEADLINE_S
        while eiger.state != "initialize":
            assert time.monotonic() < deadline
        assert eiger.client.get(eiger.address("detector", "config", "count_time")).status_code == 400
        backend = make(eiger, take_over=True)
        with pytest.raises(HardwareError, match=r"arm: the detector is initializing, .*try again when it is done"):
            backend.arm(arm_request())
        assert eiger.state == "initialize"
        backend.close()
        eiger.process.terminate()
        initialized.exception(DEADLINE_S)


def test_a_slow_dcu_is_waited_for(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger)
    eiger.fault("slow", key="detector/command/arm", seconds=1.0)
    assert take(backend) == [0, 1]


def test_arming_that_takes_too_long_is_told_by_its_own_deadline(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger, arm_timeout_s=0.3, end_timeout_s=2.0)
    eiger.fault("slow", key="detector/command/arm", seconds=1.0, times=1)
    with pytest.raises(HardwareError, match=r"arm: PUT .*/command/arm: no answer within 0.3 s"):
        backend.arm(arm_request())
    # It is armed all the same, later; that series is ours, and not in the way of the next.
    deadline = time.monotonic() + DEADLINE_S
    while eiger.state != "ready":
        assert time.monotonic() < deadline
    backend.configure({"arm_timeout_s": 10.0})
    assert take(backend) == [0, 1]


def test_a_detector_that_cannot_be_armed_is_a_fault_with_what_it_said(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger)
    eiger.fault("http", key="detector/command/arm", status=500)
    with pytest.raises(HardwareError, match=r"arm: PUT /detector/api/1.8.0/command/arm: HTTP 500"):
        backend.arm(arm_request())
    eiger.clear_faults()
    assert take(backend) == [0, 1]


def test_a_restarted_detector_is_initialized_and_set_up_again(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger, exposure_s=0.003)
    eiger.restart()
    assert eiger.state == "na"
    assert take(backend) == [0, 1]
    assert eiger.value("count_time") == 0.003


def test_a_detector_that_may_not_be_initialized_says_that_it_has_to_be(make: Make, eiger: RunningEiger) -> None:
    eiger.restart()
    backend = make(eiger, initialize=False)
    with pytest.raises(HardwareError, match="state is 'na': it needs `initialize`; set `initialize` to true"):
        backend.arm(arm_request())
    backend.configure({"initialize": True})
    assert take(backend) == [0, 1]


def test_nobody_is_held_up_while_the_detector_initializes(make: Make, eiger: RunningEiger) -> None:
    eiger.restart()
    # It goes on until the fault is taken back.
    eiger.fault("silence", key="detector/command/initialize")
    backend = make(eiger, answer_timeout_s=1.0)
    with pytest.raises(HardwareError, match=r"has been initializing for \d+ s, which may take 240 s; try again"):
        backend.arm(arm_request())
    eiger.clear_faults()
    deadline = time.monotonic() + DEADLINE_S
    while eiger.state != "idle":
        assert time.monotonic() < deadline
    backend.configure(PATIENT)
    assert take(backend) == [0, 1]


def test_closing_does_not_wait_for_a_detector_that_initializes(make: Make, eiger: RunningEiger) -> None:
    eiger.restart()
    eiger.fault("silence", key="detector/command/initialize")
    backend = make(eiger, answer_timeout_s=1.0)
    began = time.monotonic()
    backend.close()
    assert time.monotonic() - began < DEADLINE_S


def test_a_detector_that_another_client_has_armed_is_not_taken_from_it(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger, end_timeout_s=0.1)
    eiger.command("arm")
    with pytest.raises(
        HardwareError, match=r"state is 'ready', expected 'idle': another client has armed it, .*take_over"
    ):
        backend.arm(arm_request())
    assert eiger.state == "ready"
    eiger.command("disarm")
    backend.configure(PATIENT)
    assert take(backend) == [0, 1]


@pytest.mark.parametrize("how", ["its end", "disarm", "abort"])
def test_what_another_client_arms_after_our_series_is_not_taken_from_it(
    make: Make, eiger: RunningEiger, how: str
) -> None:
    backend = make(eiger)
    if how == "its end":
        take(backend)
    else:
        backend.arm(arm_request("software", triggers=None))
        backend.disarm() if how == "disarm" else backend.abort()
    backend.configure({"end_timeout_s": 0.1})
    # Our appendix still stands there: a client that streams to nobody sets none.
    eiger.command("arm")
    with pytest.raises(HardwareError, match="another client has armed it"):
        backend.arm(arm_request())
    assert eiger.state == "ready"


def test_what_a_dead_acquirer_left_armed_can_be_taken_over(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger, end_timeout_s=0.1)
    eiger.command("arm")
    with pytest.raises(HardwareError, match="take_over"):
        backend.arm(arm_request())
    backend.configure({"take_over": True})
    backend.arm(arm_request())
    backend.abort()
    backend.configure(PATIENT)
    assert take(backend) == [0, 1]


def test_of_two_clients_that_arm_at_once_one_is_told_and_the_other_goes_on(make: Make, eiger: RunningEiger) -> None:
    first, second = make(eiger), make(eiger, end_timeout_s=0.1)
    first.arm(arm_request(frames=2))
    with pytest.raises(HardwareError, match="another client has armed it"):
        second.arm(arm_request(frames=2))


@contextmanager
def in_the_middle_of_arming(
    backend: EigerBackend, eiger: RunningEiger, key: str, kind: str = "silence"
) -> Iterator["Future[Opening]"]:
    """While the backend arms, and its request for that key is held back: by `silence` until the faults are taken back,
    by `slow` for 1 s."""
    before = eiger.status()["faults_hit"]
    eiger.fault(kind, key=key)
    with ThreadPoolExecutor() as background:
        armed = background.submit(backend.arm, arm_request(frames=2))
        deadline = time.monotonic() + DEADLINE_S
        while eiger.status()["faults_hit"] == before:
            assert time.monotonic() < deadline
        yield armed


#: Behind the look at the state, and the last key that is read before the command `arm`.
BEFORE_IT_IS_SET_UP, WHEN_IT_IS_SET_UP = "detector/status/high_voltage/state", "filewriter/config/mode"


def test_what_was_armed_is_ended_where_the_question_behind_it_fails(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger)
    with in_the_middle_of_arming(backend, eiger, "detector/command/arm", "slow") as armed:
        eiger.fault("http", key="stream/config/header_appendix", status=503, times=1)
        with pytest.raises(HardwareError, match=r"header_appendix.*503"):
            armed.result(DEADLINE_S)
    assert eiger.state == "idle"


@pytest.mark.parametrize("key", [BEFORE_IT_IS_SET_UP, WHEN_IT_IS_SET_UP])
def test_a_client_that_arms_behind_our_look_at_the_state_is_named_and_left_alone(
    make: Make, eiger: RunningEiger, key: str
) -> None:
    backend = make(eiger, end_timeout_s=0.1)
    with in_the_middle_of_arming(backend, eiger, key) as armed:
        eiger.command("arm")
        eiger.clear_faults()
        told = r"arm: another client has armed the detector since .*'ready'.* left alone: .* then arm again \(DCU .*400"
        with pytest.raises(HardwareError, match=told):
            armed.result(DEADLINE_S)
    # That client set no appendix of its own, so that its series has ours.
    with pytest.raises(HardwareError, match=r"state is 'ready', expected 'idle': another client has armed it"):
        backend.arm(arm_request(frames=2))
    assert (eiger.state, eiger.status()["series"]) == ("ready", 1)
    eiger.command("disarm")
    backend.configure(PATIENT)
    assert take(backend) == [0, 1]


def test_a_client_that_initializes_behind_our_look_at_the_state_is_named(make: Make) -> None:
    with running_eiger(initialize_s=1.0) as eiger, ThreadPoolExecutor() as background:
        eiger.command("initialize")
        backend = make(eiger)
        with in_the_middle_of_arming(backend, eiger, WHEN_IT_IS_SET_UP) as armed:
            initialized = background.submit(eiger.command, "initialize")
            deadline = time.monotonic() + DEADLINE_S
            while eiger.state != "initialize":
                assert time.monotonic() < deadline
            eiger.clear_faults()
            with pytest.raises(HardwareError, match=r"another client has begun to initialize the detector since"):
                armed.result(DEADLINE_S)
        initialized.result(DEADLINE_S)
        backend.close()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (("header_appendix", "of another client", "stream"), r"series \d+ came with that client's appendix"),
        (("nimages", 5), r"nimages is 5, was set to 2; one of them has to wait"),
        (("count_time", 0.5), r"count_time is 0\.5, was set to 0\.002"),
    ],
)
def test_what_another_client_set_up_while_it_was_armed_is_told_and_ended(
    make: Make, eiger: RunningEiger, setting: tuple[Any, ...], told: str
) -> None:
    backend = make(eiger, answer_timeout_s=3.0)
    with in_the_middle_of_arming(backend, eiger, WHEN_IT_IS_SET_UP) as armed:
        eiger.put(*setting)
        eiger.clear_faults()
        with pytest.raises(HardwareError, match=rf"another client set the detector up at the moment .*{told}"):
            armed.result(DEADLINE_S)
    assert eiger.state == "idle"
    assert take(backend) == [0, 1]


def test_a_series_whose_start_went_to_the_client_that_had_set_it_up_is_ended(make: Make, doomed: RunningEiger) -> None:
    eiger = doomed
    # Of the receivers of a stream that has not sent anything yet the first to connect is the first to be dealt to.
    backend = make(eiger, answer_timeout_s=2.0)
    with pulling(eiger.v2), in_the_middle_of_arming(backend, eiger, WHEN_IT_IS_SET_UP) as armed:
        eiger.put("header_appendix", "of another client", "stream")
        eiger.clear_faults()
        with pytest.raises(HardwareError, match="its start did not come within 2 s; does another receiver take"):
            armed.result(DEADLINE_S)
    # What was armed here is ended here: that client would wait for it for ever.
    assert eiger.state == "idle"
    assert take(backend) == [0, 1]


def test_two_acquirers_that_race_for_the_detector_both_get_it_one_after_the_other(
    make: Make, eiger: RunningEiger
) -> None:
    backends = [make(eiger, end_timeout_s=0.2, answer_timeout_s=2.0) for _ in range(2)]
    barrier = threading.Barrier(2)

    def race(backend: EigerBackend) -> str:
        barrier.wait()
        try:
            backend.arm(arm_request(frames=2))
        except BackendError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as threads:
        told = [problem for problem in threads.map(race, backends) if problem]
    assert told
    # Who armed may miss its start, which was dealt to the other.
    assert all("another client" in problem or "another receiver" in problem for problem in told), told
    # Nobody leaves behind what he armed: the other would have to wait for it for ever.
    assert (eiger.state == "idle") is (len(told) == 2)
    for backend in backends:
        backend.abort()
        backend.configure({"end_timeout_s": 2.0})
    waiting, taken, deadline = backends, 0, time.monotonic() + DEADLINE_S
    while waiting:
        assert time.monotonic() < deadline
        backend, *waiting = waiting
        try:
            backend.arm(arm_request(frames=2))
        except HardwareError:
            # Of the two, each may have to wait for the other's end.
            waiting.append(backend)
            continue
        backend.trigger(TriggerRequest())
        assert [frame.number for frame in until_over(backend)[0]] == [0, 1]
        backend.disarm()
        taken += 1
    assert taken == 2


def test_a_stream_without_a_start_is_told_with_its_most_likely_reason(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger, answer_timeout_s=1.0)
    eiger.command("initialize", module="stream")
    eiger.fault("http", key="stream/config/mode", status=404)
    with pytest.raises(HardwareError, match=r"its start did not come within 1 s; does another receiver take messages"):
        backend.arm(arm_request())
    assert eiger.state == "idle"
    eiger.clear_faults()
    backend.configure(PATIENT)
    assert take(backend) == [0, 1]


def test_a_stream_that_cannot_be_reached_is_told_before_the_detector_is_armed(
    make: Make, eiger: RunningEiger, dead_port: int
) -> None:
    backend = make(eiger, stream_port=dead_port, answer_timeout_s=1.0)
    with pytest.raises(HardwareError, match=r"no connection to the stream at tcp://127.0.0.1:\d+ within 1 s; is"):
        backend.arm(arm_request())
    assert eiger.state == "idle"
    backend.configure({"stream_port": eiger.v2_port, **PATIENT})
    assert take(backend) == [0, 1]


def test_a_sensor_without_high_voltage_is_not_used(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger)
    eiger.fault("high_voltage_off")
    with pytest.raises(HardwareError, match=r"high voltage is OFF, expected READY: .* or set `require_high_voltage`"):
        backend.arm(arm_request())
    backend.configure({"require_high_voltage": False})
    assert take(backend) == [0, 1]


# -- in the middle of a series ------------------------------------------------------------------


def running(backend: EigerBackend, frames: int = 1000) -> None:
    """A series that has given a frame."""
    backend.arm(arm_request(frames=frames))
    backend.trigger(TriggerRequest())
    read(backend, 1)


def test_a_dcu_that_is_restarted_in_the_middle_is_a_fault(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger, exposure_s=0.02)
    running(backend)
    eiger.restart()
    with pytest.raises(
        HardwareError, match=r"restarted in the middle|trigger: PUT .*/command/trigger: .*image \d+ would"
    ):
        until_over(backend)
    with pytest.raises(BackendError):
        backend.abort()
    assert take(backend) == [0, 1]


def test_a_dcu_that_vanishes_in_the_middle_is_a_fault_within_its_deadline(make: Make, doomed: RunningEiger) -> None:
    backend = make(doomed)
    backend.arm(arm_request("external", triggers=None))
    doomed.process.kill()
    doomed.process.wait()
    with pytest.raises(HardwareError, match=r"the DCU is gone in the middle .*; look after the DCU and the network"):
        until_over(backend)
    with pytest.raises(HardwareError):
        backend.abort()


def test_a_trigger_that_hangs_is_told_by_its_deadline(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger, trigger_margin_s=0.3)
    eiger.fault("silence", key="detector/command/trigger")
    backend.arm(arm_request("software", triggers=None))
    backend.trigger(TriggerRequest())
    with pytest.raises(HardwareError, match=r"trigger: PUT .*/command/trigger: no answer within .*; image 0 would"):
        until_over(backend)
    eiger.clear_faults()
    backend.abort()
    backend.configure({"trigger_margin_s": 30.0})
    assert take(backend) == [0, 1]


def test_an_abort_does_not_wait_for_a_dcu_that_hangs(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger, answer_timeout_s=1.0, trigger_margin_s=3600)
    backend.arm(arm_request("software", triggers=None))
    eiger.fault("silence")
    backend.trigger(TriggerRequest())
    began = time.monotonic()
    with pytest.raises(HardwareError, match=r"abort: PUT .*/command/abort: no answer within 1 s"):
        backend.abort()
    assert time.monotonic() - began < DEADLINE_S


def test_a_high_voltage_that_goes_in_the_middle_is_a_fault(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger)
    backend.arm(arm_request("external", triggers=None))
    eiger.fault("high_voltage_off")
    with pytest.raises(HardwareError, match="high voltage is OFF in the middle of the series, since image 0 or before"):
        until_over(backend)


def test_a_stream_that_breaks_in_the_middle_is_a_fault_and_the_next_arming_mends_it(
    make: Make, eiger: RunningEiger
) -> None:
    backend = make(eiger)
    backend.arm(arm_request("external", triggers=None))
    eiger.fault("stream_error")
    with pytest.raises(
        HardwareError, match=r"stream's state is 'error': image 0 and all behind it .* arm again, which"
    ):
        until_over(backend)
    backend.abort()
    assert take(backend) == [0, 1]
    assert eiger.get("stream", "status", "state")["value"] != "error"


def test_a_stream_that_stays_broken_is_told(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger)
    eiger.fault("stream_error", times=2)
    with pytest.raises(HardwareError, match=r"arm: the stream's state is 'error', also once it was initialized; rest"):
        backend.arm(arm_request())
    assert take(backend) == [0, 1]


def test_a_stream_that_cannot_be_initialized_is_a_fault_with_what_was_said(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger)
    eiger.fault("stream_error")
    eiger.fault("refuse", key="stream/command/initialize")
    with pytest.raises(HardwareError, match=r"arm: PUT /stream/api/1.8.0/command/initialize: HTTP 400"):
        backend.arm(arm_request())
    eiger.clear_faults()
    assert take(backend) == [0, 1]


def test_a_full_buffer_leaves_the_series_failed_with_what_was_dropped(make: Make, eiger: RunningEiger) -> None:
    backend = make(eiger)
    backend.arm(arm_request(frames=5))
    eiger.fault("full_buffer")
    backend.trigger(TriggerRequest())
    frames, ending = until_over(backend)
    eiger.clear_faults()
    assert frames == []
    assert (ending.status, ending.frames_dropped) == ("failed", ((0, 4),))
    assert "5 images did not come (the DCU's stream says that it dropped 5)" in ending.reason
    backend.disarm()
    assert take(backend) == [0, 1]
