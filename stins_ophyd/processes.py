"""Daemons as child processes: started from a configuration, watched, ended."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import yaml

from stins import StinsError
from stins.daemon import Ready, read_ready
from stins.transport.memory import keeping_memory

__all__ = ["DaemonProcess", "Kind", "ProcessError", "refused_of"]

Kind = Literal["acquirer", "recorder", "simulator", "catalogue"]

_START_DEADLINE_S = 30.0
_STOP_DEADLINE_S = 15.0
_KILL_DEADLINE_S = 5.0
_TAIL_LINES = 15
#: Exit status of all our commands.
_WRONG_CONFIGURATION = 2
#: Of messages in the format of our daemons, those that only tell what was done.
_TELLS = re.compile(r"\d{4}-\d\d-\d\d \S+ (DEBUG|INFO) ")


class ProcessError(StinsError):
    """A daemon did not start, or ended; the text has the last lines of its messages.

    `refused`: it ended because it cannot do what its configuration says.
    """

    def __init__(self, text: str, *, refused: bool = False) -> None:
        super().__init__(text)
        self.refused = refused


class DaemonProcess:
    """A `stins acquirer`, `recorder`, `catalogue serve`, or a `simulate KIND` where the configuration says `kind`.

    `ready` says where it is, `told` is all that it has said of that. Leaving the context ends it. Its configuration
    file and its messages (`NAME.log`) stand in `folder`; without one, in a temporary folder.
    """

    def __init__(
        self,
        kind: Kind,
        config: Mapping[str, Any],
        *,
        folder: Path | None = None,
        deadline_s: float = _START_DEADLINE_S,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.config = dict(config)
        self.name = str(config.get("name", kind))
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix=f"stins-{self.name}-")
        self._folder = Path(self._temporary.name) if self._temporary else Path(folder or ".")
        self.log_file = self._folder / f"{self.name}.log"
        self.config_file = self._folder / f"{self.name}.yaml"
        # The log goes on from one start to the next; what is quoted is this process' own.
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        self._ready: queue.SimpleQueue[tuple[Ready, dict[str, Any]] | None] = queue.SimpleQueue()
        self._process = self._spawn(environment or {})
        self._reader = threading.Thread(target=self._read, name=f"{self.name}-stdout", daemon=True)
        self._reader.start()
        self.ready, self.told = self._await_ready(deadline_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process' number."""
        return self._process.pid

    @property
    def pinned(self) -> dict[str, Any]:
        """The configuration with the addresses that the system chose: a process started from it can be found again."""
        port = int(self.ready.control.rpartition(":")[2])
        pinned = {**self.config, "http": {**self.config.get("http", {}), "port": port}}
        if self.ready.stream:
            pinned["stream"] = {**self.config.get("stream", {}), "endpoint": list(self.ready.streams)}
            if self.ready.acks:
                pinned["stream"]["acks"] = list(self.ready.acks)
        return pinned

    def ended(self) -> str | None:
        """Why it ended, with the last of its warnings and errors; None while it runs."""
        if (how := self._how_it_ended()) is None:
            return None
        warnings = [line for line in self._messages() if not _TELLS.match(line)]
        said = f"its last warnings and errors:\n{_quoted(warnings)}" if warnings else "it had warned of nothing"
        return f"{how}; {said}\n  all its messages: {self.log_file}"

    def tail(self) -> str:
        """The last lines of its messages."""
        return _quoted(self._messages()) or "  (none)"

    def _how_it_ended(self) -> str | None:
        code = self._process.poll()
        if code is None:
            return None
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return f"{self.kind} {self.name!r} (process {self.pid}) {how}"

    def _messages(self) -> list[str]:
        if not self.log_file.exists():
            return []
        return self.log_file.read_bytes()[self._log_start :].decode(errors="replace").splitlines()

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal, if it still runs."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended within that time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, deadline_s: float = _STOP_DEADLINE_S) -> None:
        """Ends it: asked first, killed after the deadline. Stopping twice does no harm."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)  # a stopped process cannot end
            if not self.wait(deadline_s):
                self._process.kill()
                self._process.wait(_KILL_DEADLINE_S)
        self._reader.join(_KILL_DEADLINE_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        if self._temporary:
            self._temporary.cleanup()

    def _spawn(self, environment: Mapping[str, str]) -> subprocess.Popen[str]:
        self._folder.mkdir(parents=True, exist_ok=True)
        words, content = _command(self.kind, self.config)
        self.config_file.write_text(yaml.safe_dump(_plain(content), sort_keys=False))
        # It ends with us, however we end: its stdin is a pipe that closes then.
        command = [sys.executable, "-m", "stins.cli", *words, "--config", str(self.config_file), "--end-with-stdin"]
        with self.log_file.open("a") as log:
            # A group of its own: Ctrl-C pauses the scan in this process, it must not end the detector.
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,
                env=keeping_memory({**os.environ, "PYTHONUNBUFFERED": "1", **environment}),
            )

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        for line in self._process.stdout:
            if (ready := read_ready(line)) is not None:
                self._ready.put((ready, json.loads(line)))
        self._ready.put(None)

    def _await_ready(self, deadline_s: float) -> tuple[Ready, dict[str, Any]]:
        try:
            said = self._ready.get(timeout=deadline_s)
        except queue.Empty:
            problem = f"{self.kind} {self.name!r} was not ready within {deadline_s:g} s; its messages:\n{self.tail()}"
            self.stop()
            raise ProcessError(problem) from None
        if said is None:
            self._process.wait(_KILL_DEADLINE_S)
            how = self._how_it_ended() or f"{self.kind} {self.name!r} closed its output"
            problem = f"{how}; its last messages:\n{self.tail()}"
            self.stop()
            raise ProcessError(problem, refused=self._process.returncode == _WRONG_CONFIGURATION)
        return said


def refused_of(kind: Kind, config: Mapping[str, Any]) -> list[str]:
    """What an acquirer or a recorder would refuse of its configuration, as far as it tells that without being started.

    That is asked of a process of its own, which takes a second.
    """
    words, content = _command(kind, config)
    with tempfile.TemporaryDirectory(prefix="stins-check-") as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(yaml.safe_dump(_plain(content), sort_keys=False))
        command = [sys.executable, "-m", "stins.cli", *words, "--config", str(file), "--check"]
        pipe, none = subprocess.PIPE, subprocess.DEVNULL
        try:
            done = subprocess.run(
                command, stdin=none, stdout=none, stderr=pipe, text=True, timeout=_START_DEADLINE_S, check=False
            )
        except subprocess.TimeoutExpired:
            return []
    if done.returncode != _WRONG_CONFIGURATION:
        return []
    lines = done.stderr.removeprefix(f"stins {words[0]}: ").replace(f"{file}:", "").splitlines()
    below, refused = "", []
    for line in map(str.strip, lines):
        if line.endswith(":"):
            below = f"{line.removesuffix(':')}."
        elif line:
            refused.append(below + line)
    return refused


def _command(kind: Kind, config: Mapping[str, Any]) -> tuple[list[str], Mapping[str, Any]]:
    """What follows `stins`, and what stands in the configuration file."""
    if kind == "catalogue":
        return ["catalogue", "serve"], config
    if kind != "simulator":
        return [kind], config
    return ["simulate", str(config["kind"])], {name: value for name, value in config.items() if name != "kind"}


def _quoted(lines: Sequence[str]) -> str:
    return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])


def _plain(value: Any) -> Any:
    """The configuration in types that YAML has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
