"""`stins check` of a detector: what it says of itself, and each rule broken."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stins_acquirers.dectris.check import CAMSERVER, SIMPLON
from stins_acquirers.simulate.camserver import Simulator
from stins_recorder.check.cli import main

from stins import StinsError
from stins.findings import Report
from tests.acquirers.camserver_kit import simulators
from tests.acquirers.simulate_kit import RunningEiger, running_eiger


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningEiger]:
    with running_eiger() as eiger:
        yield eiger


@pytest.fixture
def eiger(shared: RunningEiger) -> Iterator[RunningEiger]:
    """An initialized EIGER2, as it was before and after."""
    shared.command("initialize")
    yield shared
    shared.clear_faults()


def check(eiger: RunningEiger) -> Report:
    return SIMPLON.check(f"{eiger.url}?stream_port={eiger.v2_port}")


def broken(report: Report) -> list[str]:
    return [finding.rule for finding in report.findings.listed]


def test_a_dcu_that_is_well_says_what_there_is_to_know(eiger: RunningEiger) -> None:
    report = check(eiger)
    assert broken(report) == []
    known = ("SIMPLON", "state", "high voltage", "images dropped")
    assert [report.facts[name] for name in known] == ["1.8.0", "idle", "READY", "0"]
    assert report.facts["clock"].endswith("s against this computer's")


def test_the_clock_is_compared_before_ports_are_tried_which_may_take_seconds(eiger: RunningEiger) -> None:
    facts = list(check(eiger).facts)
    assert facts.index("clock") < facts.index(f"stream (port {eiger.v2_port})")


def test_what_is_wrong_with_a_dcu_is_named_with_its_remedy(eiger: RunningEiger) -> None:
    eiger.fault("high_voltage_off")
    (finding,) = check(eiger).findings.listed
    assert (finding.rule, finding.got) == ("dcu.high-voltage", "OFF")
    assert "hv_reset" in finding.remedy


def test_a_series_that_is_armed_is_left_alone(eiger: RunningEiger) -> None:
    eiger.command("arm")
    assert broken(check(eiger)) == ["dcu.busy"]
    assert eiger.state == "ready"
    eiger.command("abort")


def test_images_that_the_stream_dropped_are_counted(eiger: RunningEiger) -> None:
    eiger.set("stream", mode="enabled", format="cbor")
    eiger.fault("full_buffer")
    eiger.command("arm")
    eiger.command("trigger")
    assert "dcu.dropped" in broken(check(eiger))


def test_a_detector_that_was_switched_on_is_still_to_be_initialized(eiger: RunningEiger) -> None:
    eiger.restart()
    assert "dcu.state" in broken(check(eiger))


def test_a_port_that_cannot_be_reached_is_named(eiger: RunningEiger) -> None:
    report = SIMPLON.check(f"{eiger.url}?stream_port=1")
    (finding,) = report.findings.listed
    assert (finding.rule, finding.got.count("port 1: ")) == ("dcu.stream-port", 1)


@pytest.fixture
def ssh_port() -> Iterator[int]:
    """Something else than a detector, which speaks first, listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")
                while connection.recv(65536):
                    """Until who asked has gone."""

        thread = threading.Thread(target=greet, name="ssh")
        thread.start()
        yield int(server.getsockname()[1])
        thread.join(30)


def test_a_port_that_speaks_something_else_than_zeromq_is_named(eiger: RunningEiger, ssh_port: int) -> None:
    (finding,) = SIMPLON.check(f"{eiger.url}?stream_port={ssh_port}").findings.listed
    assert finding.rule == "dcu.stream-port"
    assert (
        finding.got == f"port {ssh_port}: it speaks no ZeroMQ: it began with {b'SSH-2.0-OpenSSH' + bytes((13, 10))!r}"
    )


def test_a_port_that_waits_to_be_asked_speaks_no_zeromq(eiger: RunningEiger) -> None:
    (finding,) = SIMPLON.check(f"{eiger.url}?stream_port={eiger.port}").findings.listed
    assert finding.got == f"port {eiger.port}: it speaks no ZeroMQ: no greeting within 2 s"


def test_a_dcu_that_is_something_else_is_asked_about(ssh_port: int) -> None:
    (finding,) = SIMPLON.check(f"http://127.0.0.1:{ssh_port}").findings.listed
    assert finding.rule == "dcu.answers"
    assert finding.got.endswith("got 'SSH-2.0-OpenSSH', expected an answer in HTTP; is this a detector's DCU?")


@pytest.mark.parametrize(
    ("address", "rule"), [("http://127.0.0.1:9", "dcu.answers"), ("camserver://127.0.0.1:9", "camserver.answers")]
)
def test_nobody_there_breaks_one_rule(address: str, rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([address, "--json"]) == 1
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    (finding,) = said["findings"]
    assert finding["rule"] == rule
    assert finding["remedy"]


@pytest.mark.parametrize("address", ["http://", "http://host:x", "http://host?stream_port=0"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(StinsError, match="expected a"):
        SIMPLON.check(address)


@pytest.fixture
def camserver(tmp_path: Path) -> Iterator[Simulator]:
    for simulate in simulators(tmp_path / "ramdisk"):
        yield simulate()


def test_a_camserver_says_what_there_is_to_know(camserver: Simulator, tmp_path: Path) -> None:
    report = CAMSERVER.check(f"camserver://127.0.0.1:{camserver.port}{tmp_path}/ramdisk")
    assert broken(report) == ["camserver.energy"]
    assert report.facts["detector"].startswith("PILATUS3 300K")
    assert report.facts["size"] == "20 rows of 30 pixels"


def test_a_folder_that_is_not_here_is_named(camserver: Simulator, tmp_path: Path) -> None:
    report = CAMSERVER.check(f"camserver://127.0.0.1:{camserver.port}{tmp_path}/elsewhere")
    assert "camserver.folder" in broken(report)


def test_the_rules_are_listed_with_those_of_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rules"]) == 0
    said = capsys.readouterr().out
    assert all(rule.id in said for rule in (*SIMPLON.rules, *CAMSERVER.rules))
