"""The simulated camserver, talked to as any client does; fabio reads what it writes."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fabio
import numpy as np
import pytest
from stins_acquirers.simulate.camserver import Fault, Simulator

from tests.acquirers.camserver_kit import simulators

DEADLINE_S = 20.0


class Client:
    """One connection; `ask` gives one reply."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self._replies: list[str] = []
        self._rest = b""

    def send(self, command: str, end: bytes = b"\n") -> None:
        self._socket.sendall(command.encode() + end)

    def reply(self, end: bytes = b"\x18") -> str:
        while not self._replies:
            received = self._socket.recv(4096)
            if not received:
                raise EOFError
            *whole, self._rest = (self._rest + received).split(end)
            self._replies += [reply.decode() for reply in whole]
        return self._replies.pop(0)

    def ask(self, command: str) -> str:
        self.send(command)
        return self.reply()

    def silent(self, seconds: float) -> bool:
        return not self._replies and not select.select([self._socket], [], [], seconds)[0]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def simulate(tmp_path: Path) -> Iterator[Callable[..., Simulator]]:
    yield from simulators(tmp_path / "images")


@pytest.fixture
def connect() -> Iterator[Callable[[Simulator], Client]]:
    clients: list[Client] = []

    def connect(simulator: Simulator) -> Client:
        clients.append(Client(simulator.port))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def simulator(simulate: Callable[..., Simulator]) -> Simulator:
    return simulate()


@pytest.fixture
def client(simulator: Simulator, connect: Callable[[Simulator], Client]) -> Client:
    return connect(simulator)


def expose(client: Client, *commands: str) -> str:
    """Tells it these, and gives what is said when the exposures have ended."""
    for command in commands:
        answer = client.ask(command)
        assert "OK" in answer, answer
    return client.reply()


# -- commands -----------------------------------------------------------------------------------

ANSWERS = {
    "version": "24 OK Code release: 7.9.0",
    "nimages 3": "15 OK N images set to: 3",
    "NImages": "15 OK N images set to: 1",
    "ni 4": "15 OK N images set to: 4",
    "exptime 0.25": "15 OK Exposure time set to: 0.2500000 sec.",
    "expperiod 1.2": "15 OK Exposure period set to: 1.2000000 sec",
    "delay 0.5": "15 OK Delay time set to: 0.5000000 sec",
    "nexpframe 2": "15 OK Exposures per frame set to: 2",
    "gapfill -1": "15 OK Detector gap-fill is: -1",
    "setenergy": "15 OK Threshold has not been set",
    "setenergy 12000": "15 OK Setting the energy: /tmp/setthreshold.cmd",
    "setthreshold midG 7000": "15 OK /tmp/setthreshold.cmd",
    "readouttime": "15 OK Detector readout time [ms]: 0.950",
    "thread 1": "215 OK Channel 1: Temperature = 25.8C, Rel. Humidity = 33.5%",
    "telemetry": "18 OK === Telemetry ===\nImage format: 30(w) x 20(h) pixels",
    "mxsettings Phi 1.0": "15 OK Phi 1.0",
    "K": "1 OK",
    "k": "1 ERR *** Unrecognized command: k",
    "threshold": "1 ERR *** Unrecognized command: threshold",
    "nimages many": "15 ERR N images: not a number: many",
    "nimages 0": "15 ERR N images: out of range: 0",
    "expperiod 1.0001": "15 ERR Exposure period 1.0001000 is too short for an exposure of 1.0000000 sec",
    "setthreshold odd 5000": "15 ERR ERROR: unknown gain setting: odd 5000",
    "imgpath ../..": "10 ERR ../..: this simulator writes below",
}


@pytest.mark.parametrize(("command", "answer"), ANSWERS.items(), ids=list(ANSWERS))
def test_commands_are_answered_as_the_manual_says(client: Client, command: str, answer: str) -> None:
    assert client.ask(command).startswith(answer)


@pytest.mark.parametrize("end", [b"\n", b"\0", b"\x18", b"\r\n"])
def test_any_of_the_usual_ends_ends_a_command(client: Client, end: bytes) -> None:
    client.send("version", end)
    assert client.reply().startswith("24 OK")


def test_setting_a_threshold_makes_it_forget_images_and_gaps(client: Client) -> None:
    for command in ("nimages 7", "gapfill -1", "setthreshold energy 12000 6500"):
        client.ask(command)
    assert client.ask("nimages") == "15 OK N images set to: 1"
    assert client.ask("gapfill") == "15 OK Detector gap-fill is: 0"
    assert "threshold: 6500 eV" in client.ask("setthreshold")
    assert client.ask("setenergy").startswith("15 OK Energy setting: 12000 eV")


def test_who_comes_second_may_only_look(simulator: Simulator, client: Client, connect: Callable[..., Client]) -> None:
    client.ask("version")
    second = connect(simulator)
    assert second.ask("nimages") == "15 OK N images set to: 1"
    assert "Access denied" in second.ask("nimages 2")


# -- images -------------------------------------------------------------------------------------


def test_fabio_reads_its_images(simulator: Simulator, client: Client, tmp_path: Path) -> None:
    expose(client, "gapfill -1", "nimages 4", "exptime 0.001", "expperiod 0.002", "exposure a.cbf")
    for number in range(4):
        image = fabio.open(str(tmp_path / "images" / f"a_{number:05d}.cbf"))
        np.testing.assert_array_equal(image.data, simulator.pixels(number))
        assert "# Detector: PILATUS3 300K, S/N 00-0000" in image.header["_array_data.header_contents"]


@pytest.mark.parametrize("photons", [0.1, 50.0, 9e4])
def test_fabio_reads_large_images_of_any_brightness(
    simulate: Callable[..., Simulator], connect: Callable[..., Client], tmp_path: Path, photons: float
) -> None:
    simulator = simulate(shape=None, model="pilatus3-300k-w", photons=photons, pool=1)
    expose(connect(simulator), "exptime 0.001", "exposure a.cbf")
    np.testing.assert_array_equal(fabio.open(str(tmp_path / "images" / "a.cbf")).data, simulator.pixels(0, 0))


NAMES = {
    ("a.cbf", 1): ["a.cbf"],
    ("a_007.cbf", 1): ["a_007.cbf"],
    ("a.cbf", 2): ["a_00000.cbf", "a_00001.cbf"],
    ("a_.cbf", 2): ["a_00000.cbf", "a_00001.cbf"],
    ("a_x.cbf", 2): ["a_x_00000.cbf", "a_x_00001.cbf"],
    ("a_000009.cbf", 2): ["a_000009.cbf", "a_000010.cbf"],
}


@pytest.mark.parametrize("given", NAMES, ids=lambda given: f"{given[0]} x {given[1]}")
def test_images_are_numbered_as_the_manual_says(client: Client, tmp_path: Path, given: tuple[str, int]) -> None:
    name, images = given
    last = expose(client, f"nimages {images}", "exptime 0.001", "expperiod 0.002", f"exposure {name}")
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == NAMES[given]
    assert last == f"7 OK {tmp_path / 'images' / NAMES[given][-1]}"


def test_nothing_else_is_answered_while_images_are_taken(client: Client) -> None:
    for command in ("exptime 10", "expperiod 11", "exposure a.cbf"):
        client.ask(command)
    assert "Not while images are taken" in client.ask("exptime 1")
    assert client.ask("version").startswith("24 OK")


@pytest.mark.parametrize(("twice", "answers"), [(True, 3), (False, 2)])
def test_an_abort_is_answered_once_or_twice(
    simulate: Callable[..., Simulator], connect: Callable[..., Client], *, twice: bool, answers: int
) -> None:
    client = connect(simulate(twice=twice))
    for command in ("exptime 10", "expperiod 11", "exposure a.cbf"):
        client.ask(command)
    client.send("camcmd k")
    said = [client.reply() for _ in range(answers)]
    assert said == ["13 ERR kill", *(["7 ERR kill"] if twice else []), "7 OK"]
    assert client.ask("exptime") == "15 OK Exposure time set to: 10.0000000 sec."


# -- cables -------------------------------------------------------------------------------------


def test_one_pulse_starts_a_series(simulator: Simulator, client: Client) -> None:
    for command in ("nimages 2", "exptime 0.001", "expperiod 0.002", "exttrigger a.cbf"):
        client.ask(command)
    assert simulator.trigger() == 1
    assert client.reply().endswith("a_00001.cbf")


@pytest.mark.parametrize("command", ["extmtrigger", "extenable"])
def test_each_pulse_takes_an_image(simulator: Simulator, client: Client, command: str) -> None:
    for setting in ("nimages 2", "exptime 0.001", f"{command} a.cbf"):
        client.ask(setting)
    assert simulator.trigger(gate_s=0.001) == 1
    assert client.silent(0.05)
    assert simulator.trigger(gate_s=0.001) == 1
    assert client.reply().endswith("a_00001.cbf")


# -- faults -------------------------------------------------------------------------------------


def test_a_command_can_be_refused_once(simulator: Simulator, client: Client) -> None:
    simulator.add_fault(Fault(kind="refuse", command="nimages", times=1))
    assert client.ask("nimages 2") == "15 ERR ERROR: nimages failed"
    assert client.ask("nimages 2") == "15 OK N images set to: 2"


def test_a_command_can_be_met_with_silence(simulator: Simulator, client: Client) -> None:
    simulator.add_fault(Fault(kind="silence", command="exp*"))
    client.send("exptime")
    assert client.silent(0.1)
    simulator.clear_faults()
    assert client.ask("version").startswith("24 OK")


def test_an_image_can_be_lost_or_cut(simulator: Simulator, client: Client, tmp_path: Path) -> None:
    simulator.add_fault(Fault(kind="lose_image", image=0))
    simulator.add_fault(Fault(kind="cut_image", image=1))
    expose(client, "nimages 3", "exptime 0.001", "expperiod 0.002", "exposure a.cbf")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "images").iterdir()}
    assert list(sorted(sizes)) == ["a_00001.cbf", "a_00002.cbf"]  # noqa: C413  # names in order
    assert sizes["a_00001.cbf"] < 0.6 * sizes["a_00002.cbf"]


def test_a_full_folder_ends_the_series(simulate: Callable[..., Simulator], connect: Callable[..., Client]) -> None:
    client = connect(simulate(folder_bytes=20_000))
    said = expose(client, "nimages 9", "exptime 0.001", "expperiod 0.002", "exposure a.cbf")
    assert said.startswith("7 ERR cannot write")
    assert said.endswith("No space left on device")
    assert int(client.ask("df").split()[2]) < 10


def test_it_can_go_away_and_come_back(simulator: Simulator, client: Client, connect: Callable[..., Client]) -> None:
    simulator.add_fault(Fault(kind="gone", image=1, seconds=0.05))
    with pytest.raises(EOFError):
        expose(client, "nimages 3", "exptime 0.001", "expperiod 0.002", "exposure a.cbf")
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not simulator.listening:
        assert time.monotonic() < deadline
        pause.wait(0.01)
    assert connect(simulator).ask("version").startswith("24 OK")


# -- the process --------------------------------------------------------------------------------


def test_the_command_says_where_it_is_and_its_hook_triggers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stins.cli", "simulate", "pilatus", "--shape", "20x30", "--pool", "1"]
    process = subprocess.Popen([*command, "--fault", '{"kind": "slow", "command": "version"}'], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert select.select([process.stdout], [], [], DEADLINE_S)[0]
        ready = json.loads(process.stdout.readline())
        client = Client(int(ready["control"].rpartition(":")[2]))
        for setting in ("nimages 2", "exptime 0.001", "extmtrigger a.cbf"):
            client.ask(setting)
        hook = Client(int(ready["hook"].rpartition(":")[2]))
        hook.send("trigger 2")
        assert json.loads(hook.reply(b"\n")) == {"taken": 2}
        assert client.reply() == f"7 OK {ready['folder']}/a_00001.cbf"
        hook.send("status")
        assert json.loads(hook.reply(b"\n")) == {"taking_images": False, "images": 2}
        hook.send('fault {"kind": "no such"}')
        assert "kind: got 'no such'" in json.loads(hook.reply(b"\n"))["error"]
        hook.close()
        client.close()
    finally:
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
        process.stdout.close()
    assert not Path(ready["folder"]).exists()
