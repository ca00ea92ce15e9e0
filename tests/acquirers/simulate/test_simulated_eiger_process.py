"""`stins simulate eiger` as a process: its options, its ready line, its end."""

import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml
from simulate_kit import RunningEiger, pulling, running_eiger
from stins_acquirers.simulate.cli import main
from stins_acquirers.simulate.eiger.arming import Armory
from stins_acquirers.simulate.eiger.models import MODELS
from stins_acquirers.simulate.eiger.options import EigerOptions
from stins_acquirers.simulate.eiger.settings import Settings
from stins_acquirers.simulate.eiger.simulator import Simulator

from stins import StinsError
from stins.daemon.descriptions import descriptions

#: From being told to end to having ended; the machine may be busy with other tests.
END_S = 10.0


def ended(eiger: RunningEiger, end: Callable[[], None]) -> float:
    """How long the process takes to end in good order."""
    began = time.monotonic()
    end()
    assert eiger.process.wait(END_S) == 0
    return time.monotonic() - began


def close_stdin(eiger: RunningEiger) -> None:
    assert eiger.process.stdin
    eiger.process.stdin.close()


# -- its end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    [
        lambda eiger: eiger.process.terminate(),
        lambda eiger: eiger.process.send_signal(signal.SIGINT),
        close_stdin,
    ],
    ids=["SIGTERM", "SIGINT", "its parent's end"],
)
def test_it_ends_in_good_order(end: Callable[[RunningEiger], None]) -> None:
    with running_eiger() as eiger:
        ended(eiger, lambda: end(eiger))


def test_it_ends_while_a_trigger_blocks_a_client_is_silenced_and_nobody_reads() -> None:
    fault = {"kind": "silence", "key": "detector/config/nimages"}
    with running_eiger(faults=[fault]) as eiger, pulling(eiger.v2), ThreadPoolExecutor(2) as pool:
        eiger.command("initialize")
        eiger.set("stream", mode="enabled", format="cbor")
        eiger.set(trigger_mode="ints", ntrigger=1, count_time=100.0)
        eiger.command("arm")
        blocked = [
            pool.submit(httpx.put, f"{eiger.url}/detector/api/1.8.0/command/trigger", timeout=60),
            pool.submit(httpx.get, f"{eiger.url}/detector/api/1.8.0/config/nimages", timeout=60),
        ]
        while eiger.state != "acquire":
            pass
        assert ended(eiger, eiger.process.terminate) < END_S
        for each in blocked:
            each.exception(END_S)  # answered or broken off: the client is not left waiting


# -- its addresses ----------------------------------------------------------------------------------


def test_it_listens_on_loopback_unless_told_otherwise(eiger: RunningEiger) -> None:
    assert eiger.url.startswith("http://127.0.0.1:")
    assert [stream.rpartition(":")[0] for stream in (eiger.v1, eiger.v2)] == ["tcp://127.0.0.1"] * 2
    assert (eiger.ready.kind, eiger.ready.pid) == ("simulator", eiger.process.pid)


@pytest.mark.parametrize("option", ["port", "stream_port", "stream2_port"])
def test_a_port_that_is_taken_is_named(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StinsError, match=rf"{port}.*choose another"):
            Simulator(EigerOptions.model_validate({option: port}))


# -- its options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--model", "eiger3-1m"], "eiger2-1m"),
        (["--shape", "64"], "shape"),
        (["--shape", "64x4"], "shape"),
        (["--photons", "0"], "photons"),
        (["--pool", "many"], "pool"),
        (["--fault", "{}"], "kind"),
        (["--fault", "nonsense"], "JSON"),
        (["--api", "1.6.0"], "EIGER1"),
        (["--config", "absent.yaml"], "absent.yaml"),
    ],
)
def test_a_wrong_option_is_refused_by_name(arguments: list[str], why: str) -> None:
    with pytest.raises(StinsError, match=why):
        main(["eiger", *arguments])


def test_options_of_the_command_line_stand_over_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "eiger.yaml"
    path.write_text(yaml.safe_dump({"model": "pilatus4-1m", "shape": [32, 24], "seed": 7}))
    with running_eiger(config=path, shape="40x24") as eiger:
        eiger.command("initialize")
        assert (eiger.value("y_pixels_in_detector"), eiger.value("x_pixels_in_detector")) == (40, 24)
        assert "PILATUS4" in eiger.value("description")


def test_every_option_is_described_with_its_unit_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["eiger", "--help"])
    text = capsys.readouterr().out
    texts = descriptions(EigerOptions)
    for name in EigerOptions.model_fields:
        assert texts[name], name
        assert name == "faults" or f"--{name.replace('_', '-')}" in text


def test_the_simulators_are_listed_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["--help"]) == 0
    assert "eiger" in capsys.readouterr().out
    assert main(["webcam"]) == 2
    assert "no simulator 'webcam'" in capsys.readouterr().err


@pytest.mark.parametrize("model", MODELS)
def test_a_detector_is_made_of_whole_modules_with_gaps_between_them(model: str) -> None:
    settings = Settings(EigerOptions(model=model))
    mask = settings.arrays.get("pixel_mask/1", settings.model.shape)
    for axis, module, gap in zip((0, 1), settings.family.module, settings.family.gap, strict=True):
        modules, rest = divmod(mask.shape[axis] + gap, module + gap)
        gaps = np.count_nonzero((mask == 1).all(axis=1 - axis))
        assert (rest, gaps) == (0, (modules - 1) * gap)


def test_images_are_the_same_for_the_same_seed() -> None:
    def digests(seed: int) -> list[str]:
        options = EigerOptions(shape=(64, 48), seed=seed)
        settings = Settings(options)
        pool = Armory(options, settings.family, settings.arrays).pool(settings.detector.values, dark=False)
        return [blob.digest for image in pool.images for blob in image]

    assert digests(1) == digests(1) != digests(2)
