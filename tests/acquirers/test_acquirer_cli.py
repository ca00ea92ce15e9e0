"""`stins acquirer` as a process: its ready line, its HTTP, its errors, its end."""

import io
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from stins_acquirers.cli import main
from stins_acquirers.config import AcquirerConfig
from stins_acquirers.registry import make_backend

from stins import EndSeries, Outcome, RemoteError, StinsError
from stins.control import AcquirerState, AcquirerStatus, ArmRequest, TriggerRequest
from stins.daemon import ConfigError, load_config

ROOT = Path(__file__).parent.parent.parent


def test_a_series_over_http_is_pushed_received_and_equal_to_its_reference(
    launch: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    det = launch(dtype="uint32")
    consumer = consume(det.ready.stream)
    done, statuses, lost = threading.Event(), [], []

    def changed(status: AcquirerStatus) -> None:
        statuses.append(status)
        if status.state is AcquirerState.IDLE and status.frames_sent == 5:
            done.set()

    watch = det.client.watch(changed, lost.append)
    assert det.client.post("/configure", None).state is AcquirerState.IDLE
    assert det.client.post("/arm", ArmRequest(series_id="s", frames_per_trigger=5)).state is AcquirerState.ARMED
    det.client.post("/trigger", TriggerRequest())
    _, frames, end = consumer.series()
    assert done.wait(10)
    assert end.result.outcome is Outcome.COMPLETE
    for frame in frames:
        pixels = np.load(io.BytesIO(det.client.get(f"/reference/{frame.header.frame_number}")))
        assert bytes(frame.packet.payload[0]) == pixels.tobytes()
    assert (statuses[-1].name, statuses[-1].series_id, lost) == ("det", "s", [])
    watch.close()


def test_arming_without_a_recorder_is_refused_with_endpoint_and_seconds(idle: Any) -> None:
    problem = rf"arm failed at {idle.ready.control}.*connected to {idle.ready.stream} within 0.5 s"
    with pytest.raises(RemoteError, match=problem):
        idle.client.post("/arm", ArmRequest(series_id="s"), timeout_s=15)
    assert idle.client.status().state is AcquirerState.IDLE


def test_wrong_requests_are_refused_and_it_lives_on(idle: Any) -> None:
    url = idle.ready.control
    replies = [
        httpx.post(f"{url}/arm", json={"series_id": 5}),
        httpx.post(f"{url}/arm", json={"series_id": "s", "framez": 1}),
        httpx.post(f"{url}/configure", json={"dtype": "complex"}),
        httpx.get(f"{url}/reference/minus-one"),
    ]
    assert [reply.status_code for reply in replies] == [422, 422, 409, 404]
    said = [reply.json()["error"] for reply in replies]
    assert "series_id" in said[0]
    assert "framez" in said[1]
    assert "dtype: got 'complex'" in said[2]
    assert "'minus-one', expected a frame number" in said[3]
    assert idle.client.status().state is AcquirerState.IDLE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(
    launch: Callable[..., Any], consume: Callable[..., Any], number: signal.Signals
) -> None:
    det = launch()
    consumer = consume(det.ready.stream)
    det.client.post("/arm", ArmRequest(series_id="s", trigger_mode="software"))
    det.process.send_signal(number)
    assert consumer.until(EndSeries)[-1].result.end.reason == "the acquirer was stopped"
    assert det.process.wait(20) == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("backend: simulatd\n", "no acquirer backend 'simulatd'; installed: "),
        (
            "backend: simulated\nsettings: {shape: [0, 5]}\n",
            r"wrong.yaml: settings:\n  shape.0: got 0: Input",
        ),
        (
            "backend: simulated\nport: 5\n",
            "port: unknown field; allowed: backend, beamline, geometry, http, name, settings, stream",
        ),
        ("name: det\n", "backend: missing, and it has no default"),
        ("backend: simulated\nhttp: {port: 70000}\n", "http.port: got 70000"),
        ("backend: simulated\nstream: {endpoint: 'tcp://nowhere'}\n", "cannot bind tcp://nowhere"),
        ("backend: [simulated\n", "not YAML"),
    ],
)
def test_a_wrong_configuration_names_the_field_the_value_and_what_is_allowed(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(StinsError, match=problem):
        main(["--config", str(path)])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read: No such file"):
        main(["--config", str(tmp_path / "none.yaml")])


def test_describe_lists_every_setting_with_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--describe", "simulated"]) == 0
    assert "exposure_s [s]: Count time of one frame. (default 0.001)" in capsys.readouterr().out


def test_without_a_configuration_it_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "give --config FILE" in capsys.readouterr().err


def test_an_unknown_log_level_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--log-level", "FOO"])
    assert "invalid choice: 'FOO'" in capsys.readouterr().err


def test_the_simulated_example_is_a_valid_configuration() -> None:
    config = load_config(ROOT / "acquirers" / "simulated.yaml", AcquirerConfig)
    backend = make_backend(config.backend, config.settings)
    assert backend.describe() is not None
    backend.close()


def test_the_replay_example_is_a_valid_configuration(captures: Path) -> None:
    config = load_config(ROOT / "acquirers" / "replay.yaml", AcquirerConfig)
    capture = ROOT / config.settings["capture"]
    backend = make_backend(config.backend, {**config.settings, "capture": str(capture)})
    assert backend.describe() is not None
    backend.close()


def test_the_acquirers_import_neither_ophyd_nor_bluesky_nor_tango() -> None:
    code = (
        "import pkgutil, sys, importlib, stins_acquirers\n"
        "for module in pkgutil.walk_packages(stins_acquirers.__path__, 'stins_acquirers.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(sorted({'ophyd', 'bluesky', 'tango', 'tiled', 'stins_ophyd', 'stins_recorder'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
