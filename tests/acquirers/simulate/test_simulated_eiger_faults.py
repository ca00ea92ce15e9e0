"""What goes wrong with the simulated EIGER on request: at its start, or while it runs."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from eiger_reading import loads
from simulate_kit import RunningEiger, pulling, running_eiger

COUNT_TIME = "detector/config/count_time"


@pytest.fixture
def sound(eiger: RunningEiger) -> Iterator[RunningEiger]:
    """The detector, set for a series of ten images; no fault is left behind."""
    eiger.set("stream", mode="enabled", format="cbor", header_detail="all")
    eiger.set(trigger_mode="ints", nimages=10, ntrigger=1, count_time=0.001, frame_time=0.002)
    yield eiger
    eiger.clear_faults()


def series(eiger: RunningEiger) -> tuple[list[int], list[Any]]:
    """The numbers and the pixels of the images of a series."""
    with pulling(eiger.v2) as socket:
        number = eiger.command("arm")["sequence id"]
        eiger.command("trigger")
        messages: list[dict[str, Any]] = []
        while not messages or messages[-1]["type"] != "end":
            message = loads(socket.recv())
            # An earlier series that nobody fetched may come before this one.
            messages += [message] if message["series_id"] == number else []
    images = messages[1:-1]
    return [image["image_id"] for image in images], [image["data"]["threshold_1"] for image in images]


def put(eiger: RunningEiger, key: str, value: Any, timeout_s: float = 10.0) -> httpx.Response:
    address = eiger.address("detector", "config", key)
    return eiger.client.put(address, json={"value": value}, timeout=timeout_s)


# -- requests ---------------------------------------------------------------------------------------


def test_a_value_is_refused_and_reading_still_works(sound: RunningEiger) -> None:
    sound.fault("refuse", key=COUNT_TIME)
    reply = put(sound, "count_time", 0.002)
    assert (reply.status_code, "count_time" in reply.text) == (400, True)
    assert sound.value("count_time") == 0.001
    assert put(sound, "nimages", 10).status_code == 200


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_key_is_answered_with_an_error_as_often_as_told(sound: RunningEiger, status: int) -> None:
    sound.fault("http", key="detector/command/arm", status=status, times=2)
    address = sound.address("detector", "command", "arm")
    assert [sound.client.put(address).status_code for _ in range(3)] == [status, status, 200]
    sound.command("disarm")


def test_a_silent_key_answers_when_the_fault_is_taken_back(sound: RunningEiger) -> None:
    sound.fault("silence", key="detector/*")
    with pytest.raises(httpx.ReadTimeout):
        put(sound, "count_time", 0.002, timeout_s=0.3)
    assert sound.value("mode", "stream") == "enabled"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: sound.state)
        sound.clear_faults()
        assert waiting.result(20) == "idle"


def test_an_answer_is_slow(sound: RunningEiger) -> None:
    sound.fault("slow", key="detector/status/state", seconds=0.3, times=1)
    began = time.monotonic()
    assert sound.state == "idle"
    assert time.monotonic() - began >= 0.3


# -- images -----------------------------------------------------------------------------------------


def test_images_are_dropped_and_counted(sound: RunningEiger) -> None:
    sound.fault("drop_images", image=3, images=2, times=1)
    numbers, _ = series(sound)
    assert numbers == [0, 1, 2, 5, 6, 7, 8, 9]
    assert sound.get("stream", "status", "dropped")["value"] == 2


def test_a_fault_of_images_hits_as_many_series_as_told(sound: RunningEiger) -> None:
    sound.fault("drop_images", image=9, times=1)
    assert len(series(sound)[0]) == 9
    assert len(series(sound)[0]) == 10


def test_a_full_buffer_hits_as_many_series_as_told_whole(sound: RunningEiger) -> None:
    sound.fault("full_buffer", times=2)
    sound.fault("drop_images", image=3, images=20, times=1)
    assert [len(series(sound)[0]) for _ in range(4)] == [0, 0, 3, 10]


def test_a_full_buffer_loses_all_images_until_it_has_room_again(sound: RunningEiger) -> None:
    sound.fault("full_buffer")
    assert series(sound)[0] == []
    assert sound.get("stream", "status", "dropped")["value"] == 10
    assert sound.get("filewriter", "status", "buffer_free")["value"] == 0
    assert sound.get("monitor", "status", "state")["value"] == "overflow"
    sound.clear_faults()
    assert len(series(sound)[0]) == 10


def test_without_high_voltage_nothing_is_counted(sound: RunningEiger) -> None:
    sound.fault("high_voltage_off")
    assert sound.get("detector", "status", "high_voltage/state")["value"] == "OFF"
    _, images = series(sound)
    assert set(np.unique(images)) == {0, 65_535}
    sound.clear_faults()
    assert sound.get("detector", "status", "high_voltage/state")["value"] == "READY"


# -- a restart --------------------------------------------------------------------------------------


def test_a_restart_in_mid_series_loses_state_settings_and_connections() -> None:
    with running_eiger() as eiger, pulling(eiger.v2) as socket:
        eiger.command("initialize")
        eiger.set("stream", mode="enabled", format="cbor")
        eiger.set(nimages=10, count_time=0.001, frame_time=0.002)
        eiger.fault("restart", image=4, seconds=0.2, times=1)
        for _ in range(2):
            number = eiger.command("arm")["sequence id"]
            eiger.command("disarm")
        eiger.command("arm")
        reply = eiger.client.put(eiger.address("detector", "command", "trigger"))
        assert (reply.status_code, number) == (502, 2)
        while (down := eiger.client.get(eiger.address("detector", "status", "state"))).status_code == 502:
            assert down.text == "Bad Gateway"
        assert (eiger.state, eiger.value("mode", "stream")) == ("na", "disabled")
        eiger.command("initialize")
        eiger.set("stream", mode="enabled", format="cbor")
        assert eiger.value("nimages") == 1
        assert eiger.command("arm") == {"sequence id": 1}
        eiger.command("trigger")
        seen: list[tuple[str, int]] = []
        # The client's socket connects again by itself, to the same port.
        while seen[-1:] != [("end", 1)] or ("start", 3) not in seen:
            message = loads(socket.recv())
            seen.append((message["type"], message["series_id"]))
        assert ("end", 3) not in seen
        assert seen.count(("image", 3)) <= 4
        assert seen[-3:] == [("start", 1), ("image", 1), ("end", 1)]


def test_it_is_restarted_while_it_is_idle(sound: RunningEiger) -> None:
    sound.restart()
    assert sound.state == "na"
    sound.command("initialize")
    sound.command("restart", module="system")
    assert sound.state == "na"
    sound.command("initialize")


# -- the hook itself --------------------------------------------------------------------------------


def test_a_broken_stream_sends_nothing_until_it_is_initialized(sound: RunningEiger) -> None:
    sound.fault("stream_error")
    assert sound.get("stream", "status", "state")["value"] == "error"
    sound.command("arm")
    sound.command("trigger")
    assert sound.status()["images_waiting"] == 0
    sound.command("initialize", module="stream")
    assert sound.get("stream", "status", "state")["value"] == "disabled"
    sound.set("stream", mode="enabled", format="cbor")
    assert series(sound)[0] == list(range(10))


def test_faults_are_given_at_the_start_and_listed() -> None:
    fault = {"kind": "http", "key": "detector/command/initialize", "status": 503, "times": 1}
    with running_eiger(faults=[fault]) as eiger:
        assert eiger.client.get("/simulator/faults").json() == [fault]
        assert eiger.client.put(eiger.address("detector", "command", "initialize")).status_code == 503
        eiger.command("initialize")
        assert eiger.client.get("/simulator/faults").json() == []


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("faults", '{"kind": "earthquake"}', "kind"),
        ("faults", '{"kind": "http", "status": 200}', "status"),
        ("faults", '{"kind": "http", "colour": 1}', "colour"),
        (
            "faults",
            '{"kind": "http", "key": "detector/nosuch/zzz"}',
            "/nosuch/zzz', which no request is for",
        ),
        ("faults", '{"kind": "slow", "key": "detector/config/count_tim"}', "such as detector/config/count_time"),
        ("faults", "nonsense", "JSON"),
        ("trigger", '{"count": "many"}', "count"),
        ("trigger", '{"count": 0}', "count"),
        ("trigger", '{"width_s": -1}', "width_s"),
        ("trigger", '{"pulses": 1}', "pulses"),
        ("restart", '{"minutes": 1}', "minutes"),
        ("restart", '{"seconds": -1}', "seconds"),
        ("earthquake", "{}", "POST faults"),
    ],
)
def test_a_wrong_request_of_the_hook_is_refused_by_name(sound: RunningEiger, path: str, body: str, why: str) -> None:
    reply = sound.client.post(f"/simulator/{path}", content=body)
    assert (reply.status_code // 100, why in reply.text) == (4, True), reply.text
