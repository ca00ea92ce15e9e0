"""Commands and states of the simulated EIGER: what is allowed when, what blocks, how a series ends."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from eiger_reading import loads
from simulate_kit import DEADLINE_S, RunningEiger, pulling, running_eiger


@contextmanager
def in_background(eiger: RunningEiger, command: str, body: Any = None) -> Iterator["Future[Any]"]:
    """A command that blocks, given by another client."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(eiger.command, command, body)


def until(eiger: RunningEiger, what: Any) -> None:
    """Returns once that is so."""
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline, f"got {eiger.status()}"


@contextmanager
def armed(eiger: RunningEiger, **settings: Any) -> Iterator[Any]:
    """A client of stream v2 that has taken the start; the detector is armed."""
    defaults = {"nimages": 1, "ntrigger": 1, "trigger_mode": "ints", "count_time": 0.001, "frame_time": 0.002}
    with pulling(eiger.v2) as socket:
        eiger.set("stream", mode="enabled", format="cbor", header_appendix="", image_appendix="")
        eiger.set(**{**defaults, **settings})
        eiger.command("arm")
        first_of(eiger, socket)
        try:
            yield socket
        finally:
            eiger.command("disarm")


def first_of(eiger: RunningEiger, socket: Any) -> None:
    """Takes the start of the series that is armed; an earlier one that nobody fetched may come before it."""
    number = eiger.status()["series"]
    while (message := loads(socket.recv()))["series_id"] != number:
        pass
    assert message["type"] == "start"


def received(socket: Any) -> list[dict[str, Any]]:
    """The images up to the end of the series."""
    images = []
    while (message := loads(socket.recv()))["type"] != "end":
        images.append(message)
    return images


def refusal(eiger: RunningEiger, command: str, body: bytes = b"") -> str:
    """The text of a command that is refused."""
    reply = eiger.client.put(eiger.address("detector", "command", command), content=body)
    assert reply.status_code // 100 == 4, reply.text
    return reply.text


# -- states -----------------------------------------------------------------------------------------


def test_states_from_power_up_to_the_end_of_a_series() -> None:
    with running_eiger() as eiger:
        assert eiger.state == "na"
        assert "state is na" in refusal(eiger, "arm")
        unknown = eiger.client.get(eiger.address("detector", "config", "nimages"))
        assert (unknown.status_code, "only its state is available" in unknown.text) == (400, True)
        assert eiger.value("mode", "stream") == "disabled"
        eiger.command("initialize")
        assert eiger.state == "idle"
        assert "state is idle" in refusal(eiger, "trigger")
        eiger.command("arm")
        assert eiger.state == "ready"
        assert "state is ready" in refusal(eiger, "arm")
        eiger.command("trigger")
        assert eiger.state == "idle"


def test_it_initializes_for_a_while_and_refuses_all_else_meanwhile() -> None:
    with running_eiger(initialize_s=3.0, arm_s=3.0) as eiger:
        with in_background(eiger, "initialize") as done:
            until(eiger, lambda: eiger.state == "initialize")
            assert "state is initialize" in refusal(eiger, "initialize")
            assert "state is initialize" in refusal(eiger, "arm")
            assert done.result(DEADLINE_S) is None
        with in_background(eiger, "arm") as done:
            until(eiger, lambda: eiger.state == "configure")
            assert "state is configure" in refusal(eiger, "disarm")
            assert done.result(DEADLINE_S) == {"sequence id": 1}


def test_series_are_numbered_until_it_is_initialized_again(eiger: RunningEiger) -> None:
    eiger.command("initialize")
    assert eiger.command("arm") == eiger.command("disarm") == {"sequence id": 1}
    assert eiger.command("arm") == {"sequence id": 2}
    assert eiger.command("disarm") == eiger.command("disarm") == {"sequence id": 2}
    eiger.command("initialize")
    assert eiger.command("disarm") == {"sequence id": 0}


def test_only_two_commands_take_a_body(eiger: RunningEiger) -> None:
    eiger.set(trigger_mode="ints", nimages=1, ntrigger=1, count_time=0.001)
    assert "expected none" in refusal(eiger, "arm", b'{"value": 1}')
    assert "not JSON" in refusal(eiger, "arm", b"nonsense")
    eiger.client.put(eiger.address("detector", "command", "arm"), content=b"{}").raise_for_status()
    assert "takes no body" in refusal(eiger, "trigger", b'{"value": 0.1}')
    eiger.command("disarm")
    eiger.put("trigger_mode", "inte")
    eiger.command("arm")
    assert "seconds" in refusal(eiger, "trigger", b'{"value": "0.1"}')
    assert "seconds" in refusal(eiger, "trigger", b'{"seconds": 0.1}')
    eiger.command("disarm")
    assert "PUT" in eiger.client.get(eiger.address("detector", "command", "arm")).text


# -- triggers of our own ----------------------------------------------------------------------------


def test_a_trigger_blocks_until_its_images_are_taken(eiger: RunningEiger) -> None:
    with armed(eiger, nimages=10, count_time=0.02, frame_time=0.03) as socket:
        began = time.monotonic()
        eiger.command("trigger")
        assert time.monotonic() - began >= 9 * 0.03 + 0.02
        assert len(received(socket)) == 10


def test_images_are_numbered_through_all_triggers_and_the_last_one_disarms(eiger: RunningEiger) -> None:
    with armed(eiger, nimages=2, ntrigger=3) as socket:
        states = []
        for _ in range(3):
            eiger.command("trigger")
            states.append(eiger.state)
        assert states == ["ready", "ready", "idle"]
        assert [image["image_id"] for image in received(socket)] == [0, 1, 2, 3, 4, 5]


def test_a_trigger_of_inte_may_say_how_long_it_counts(eiger: RunningEiger) -> None:
    with armed(eiger, trigger_mode="inte", ntrigger=2, count_time=0.001) as socket:
        eiger.command("trigger", {"value": 0.05})
        eiger.command("trigger")
        assert [image["real_time"][0] / 50e6 for image in received(socket)] == [0.05, 0.001]


def test_a_mode_of_one_image_each_needs_nimages_1(eiger: RunningEiger) -> None:
    eiger.set(trigger_mode="exte", nimages=2)
    assert "nimages is 2" in refusal(eiger, "arm")
    assert eiger.state == "idle"


def test_the_start_delay_comes_before_the_first_image(eiger: RunningEiger) -> None:
    with armed(eiger, trigger_start_delay=0.2) as socket:
        began = time.monotonic()
        eiger.command("trigger")
        assert time.monotonic() - began >= 0.2
        received(socket)
    eiger.put("trigger_start_delay", 0.0)


# -- triggers by cable ------------------------------------------------------------------------------


def test_each_external_pulse_starts_a_series_of_images(eiger: RunningEiger) -> None:
    with armed(eiger, trigger_mode="exts", nimages=3, ntrigger=2) as socket:
        assert "trigger_mode is exts" in refusal(eiger, "trigger")
        assert eiger.pulse(count=2, period_s=0.05) == {"taken": 2, "ignored": 0}
        images = received(socket)
        assert [image["image_id"] for image in images] == [0, 1, 2, 3, 4, 5]
        assert images[3]["start_time"][0] - images[0]["start_time"][0] == 0.05 * 50_000_000
        assert eiger.state == "idle"


def test_pulses_that_come_too_early_or_too_late_are_ignored(eiger: RunningEiger) -> None:
    assert eiger.pulse(count=3) == {"taken": 0, "ignored": 3}
    with armed(eiger, trigger_mode="exts", nimages=3, ntrigger=2, count_time=0.01, frame_time=0.011) as socket:
        assert eiger.pulse(count=5, period_s=0.02) == {"taken": 2, "ignored": 3}
        assert len(received(socket)) == 6


def test_an_image_of_exte_is_as_long_as_its_pulse(eiger: RunningEiger) -> None:
    with armed(eiger, trigger_mode="exte", ntrigger=3) as socket:
        eiger.pulse(count=1, width_s=0.01)
        until(eiger, lambda: eiger.state == "ready")
        eiger.pulse(count=2, width_s=0.02, period_s=0.03)
        assert [image["real_time"][0] for image in received(socket)] == [500_000, 1_000_000, 1_000_000]


def test_gates_add_up_to_an_image_and_their_series_does_not_end_by_itself(eiger: RunningEiger) -> None:
    with armed(eiger, trigger_mode="extg", nexpi=4, nimages=10) as socket:
        eiger.pulse(count=6, width_s=0.002, period_s=0.005)
        until(eiger, lambda: eiger.state == "ready")
        eiger.pulse(count=2, width_s=0.002, period_s=0.005)
        until(eiger, lambda: eiger.status()["images_taken"] == 2 and eiger.state == "ready")
        eiger.command("disarm")
        images = received(socket)
        assert [image["real_time"][0] for image in images] == [400_000, 400_000]
    eiger.put("nexpi", 1)


# -- ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["disarm", "abort", "cancel"])
def test_a_command_that_ends_a_series_frees_the_trigger_and_sends_one_end(eiger: RunningEiger, command: str) -> None:
    with armed(eiger, nimages=1000, count_time=0.01, frame_time=0.02) as socket:
        with in_background(eiger, "trigger") as triggered:
            until(eiger, lambda: eiger.status()["images_taken"] >= 3)
            number = eiger.command(command)
            assert triggered.result(DEADLINE_S) == number
        until(eiger, lambda: eiger.state == "idle")
        assert 3 <= len(received(socket)) < 100
        eiger.command("disarm")
        eiger.command("abort")
        eiger.command("arm")
        assert loads(socket.recv())["type"] == "start"


def test_a_cancelled_series_has_the_image_that_was_being_taken(eiger: RunningEiger) -> None:
    with armed(eiger, nimages=1000, count_time=0.3, frame_time=0.31) as socket:
        with in_background(eiger, "trigger"):
            until(eiger, lambda: eiger.state == "acquire")
            eiger.command("cancel")
        images = [image["image_id"] for image in received(socket)]
    # A busy machine may be in the second by then; one that is cut short does not come at all.
    assert images == list(range(len(images)))
    assert 1 <= len(images) < 100


def test_an_armed_series_without_a_trigger_ends_without_an_image(eiger: RunningEiger) -> None:
    for command in ("disarm", "abort", "cancel"):
        with armed(eiger) as socket:
            eiger.command(command)
            assert (received(socket), eiger.state) == ([], "idle")


def test_initialize_ends_a_running_series(eiger: RunningEiger) -> None:
    with armed(eiger, nimages=1000, count_time=0.01, frame_time=0.02) as socket:
        with in_background(eiger, "trigger"):
            until(eiger, lambda: eiger.status()["images_taken"] >= 1)
            eiger.command("initialize")
        received(socket)
        assert (eiger.state, eiger.value("nimages")) == ("idle", 1)


# -- what nobody fetches ----------------------------------------------------------------------------


def test_images_that_find_no_room_are_dropped_and_counted_until_the_next_arm() -> None:
    with running_eiger(buffer_images=10) as eiger:
        eiger.command("initialize")
        eiger.set("stream", mode="enabled", format="cbor")
        eiger.set(nimages=25, ntrigger=2, count_time=0.001, frame_time=0.002)
        eiger.command("arm")
        eiger.command("trigger")
        assert eiger.get("stream", "status", "dropped")["value"] == 15
        assert eiger.status()["images_waiting"] == 10
        with pulling(eiger.v2) as socket:
            assert loads(socket.recv())["type"] == "start"
            assert [loads(socket.recv())["image_id"] for _ in range(10)] == list(range(10))
            eiger.command("trigger")
            assert [image["image_id"] for image in received(socket)] == list(range(25, 50))
            assert eiger.get("stream", "status", "dropped")["value"] == 15
            eiger.command("arm")
            assert eiger.get("stream", "status", "dropped")["value"] == 0


def test_who_comes_later_gets_no_series_of_before(eiger: RunningEiger) -> None:
    eiger.set("stream", mode="enabled", format="cbor")
    eiger.set(trigger_mode="ints", nimages=3, ntrigger=1, count_time=0.001)
    eiger.command("arm")
    eiger.command("trigger")
    until(eiger, lambda: eiger.get("stream", "status", "dropped")["value"] == 3)
    with pulling(eiger.v2) as socket:
        number = eiger.command("arm")["sequence id"]
        assert loads(socket.recv())["series_id"] == number
        eiger.command("disarm")
        assert received(socket) == []


def test_a_stream_that_is_off_sends_nothing_and_drops_nothing(eiger: RunningEiger) -> None:
    eiger.command("initialize", module="stream")
    assert eiger.get("stream", "status", "state")["value"] == "disabled"
    eiger.set(trigger_mode="ints", nimages=3, ntrigger=1, count_time=0.001)
    eiger.command("arm")
    eiger.command("trigger")
    assert eiger.status() | {"series": 0} == {
        "images_dropped": 0,
        "images_taken": 3,
        "images_waiting": 0,
        "faults_hit": 0,
        "series": 0,
        "state": "idle",
    }


# -- the other modules ------------------------------------------------------------------------------


def test_the_monitor_keeps_the_latest_images(eiger: RunningEiger) -> None:
    eiger.command("clear", module="monitor")
    images = "/monitor/api/1.8.0/images/"
    assert eiger.client.get(f"{images}monitor").status_code == 408
    assert eiger.client.get(f"{images}next?timeout=50").status_code == 408
    eiger.set("monitor", mode="enabled", buffer_size=2)
    eiger.set(trigger_mode="ints", nimages=4, ntrigger=1, count_time=0.001)
    eiger.command("arm")
    eiger.command("trigger")
    latest = eiger.client.get(f"{images}monitor")
    kept = [eiger.client.get(f"{images}next").content for _ in range(2)]
    assert latest.headers["content-type"] == "application/tiff"
    assert (kept[1] == latest.content, kept[0] == kept[1]) == (True, False)
    assert eiger.get("monitor", "status", "dropped")["value"] == 2
    eiger.command("initialize", module="monitor")
    assert eiger.value("mode", "monitor") == "disabled"


def test_the_high_voltage_ramps_after_a_reset(eiger: RunningEiger) -> None:
    def state() -> Any:
        return eiger.get("detector", "status", "high_voltage/state")["value"]

    assert state() == "READY"
    eiger.command("hv_reset", {"value": 3600.0})
    assert state() == "RAMPING"
    eiger.command("hv_reset", {"value": 0.1})
    until(eiger, lambda: state() == "READY")
