"""Commands run as a person runs them: as processes, with their output read line by line."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stins_ophyd.cli import status

#: The demo takes 15 s of a core; beside others, on a busy machine, four times as long.
DEADLINE_S = 120.0


class Running:
    """A command that runs; `line` waits for a line of its output."""

    def __init__(self, arguments: list[str], state: Path) -> None:
        self.seen: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stins.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "XDG_STATE_HOME": str(state), "COLUMNS": "200"},
        )
        self._reader = threading.Thread(target=self._read, name="reader")
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip())
        self._lines.put(None)

    def line(self, *parts: str) -> str:
        """The next line that has all these parts."""
        while True:
            line = self._lines.get(timeout=DEADLINE_S)
            assert line is not None, f"ended without {parts}: {self.seen}"
            self.seen.append(line)
            if all(part in line for part in parts):
                return line

    def lines(self, *wanted: tuple[str, ...]) -> None:
        """Returns once each of these has had its line, in whatever order: two threads may print them."""
        left = list(wanted)
        while left:
            line = self.line()
            left = [parts for parts in left if not all(part in line for part in parts)]

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Its exit status after a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        self.process.stdout.close()
        return status


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts `stins …`; whatever still runs at the end is ended."""
    running: list[Running] = []

    def run(*arguments: object) -> Running:
        running.append(Running([str(argument) for argument in arguments], tmp_path / "state"))
        return running[-1]

    yield run
    for command in running:
        command.end()


@pytest.fixture
def stins(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `stins …` to its end."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stins.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "COLUMNS": "200"},
        )

    return run


@pytest.fixture
def beamline_file(tmp_path: Path) -> Path:
    """A beamline with one small simulated detector."""
    return write_beamline(tmp_path / "beamline.yaml")


#: Their region is not in the frame: whoever takes a series with them is told so.
NUMBERS = "{keys: [sum], regions: [{name: spot, row: 0, column: 40, rows: 4, columns: 9}]}"


def write_beamline(path: Path) -> Path:
    acquirer = "{backend: simulated, settings: {shape: [32, 48], period_s: 0.01}}"
    path.write_text(f"name: test\ndetectors:\n  sim:\n    acquirer: {acquirer}\n    numbers: {NUMBERS}\n")
    return path


class Up:
    """`stins up` of that beamline, which tests share that leave it idle."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.file = write_beamline(folder / "beamline.yaml")
        self.running = Running(["up", str(self.file)], self.state)
        self.url = self.running.line("sim: acquirer").split("acquirer ")[1].split(",")[0]
        self.running.lines(("up;",), ("sim: IDLE",))


@pytest.fixture(scope="module")
def shared_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("up"))
    yield up
    assert up.running.end() == 0, up.running.seen


@pytest.fixture
def status_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    """What `stins status --json` says, and its exit status; it takes a process half a second to load its libraries."""

    def ask(*arguments: str, state: Path = tmp_path / "state") -> tuple[int, list[dict[str, Any]]]:
        monkeypatch.setenv("XDG_STATE_HOME", str(state))
        code = status.main([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])["processes"]

    return ask
