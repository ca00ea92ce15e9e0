"""Where the processes of a running beamline are, for `stins status` and for other programs of this user."""

import fcntl
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from stins import StinsError
from stins.control import NumbersRequest

__all__ = ["RunFile", "running_beamlines"]

#: Who looks whether a beamline runs holds its lock for some microseconds.
_TRIES, _AGAIN_S = 20, 0.01


class RunFile:
    """What is written of a beamline while it runs.

    Whoever runs it holds a lock beside the file, which no death leaves behind; a number of a process may be another
    one's after a power cut.
    """

    def __init__(self, name: str) -> None:
        self.path = _run_folder() / f"{name}.json"
        #: Where the messages of its processes go.
        self.logs = _run_folder() / name
        self._lock: int | None = None

    def claim(self) -> None:
        """Makes this process the one that runs the beamline.

        Raises:
            StinsError: another process does.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(_lock_of(self.path), os.O_RDWR | os.O_CREAT, 0o600)
        if not _taken(lock):
            os.close(lock)
            owner = self._content()
            whose = f"process {owner.get('process')} on {owner.get('host')}"
            raise StinsError(f"the beamline {self.path.stem!r} is up already ({whose}); end that one first")
        self._lock = lock
        self._write()

    def write(
        self,
        data: str,
        detectors: Mapping[str, Mapping[str, str]],
        backends: Mapping[str, str],
        simulators: Mapping[str, Mapping[str, str]],
        numbers: Mapping[str, NumbersRequest],
    ) -> None:
        """Writes the addresses, as `read` and the others give them; only this user can read them."""
        wanted = msgspec.to_builtins(numbers)
        self._write(data=data, detectors=detectors, backends=backends, simulators=simulators, numbers=wanted)

    def read(self) -> Mapping[str, Mapping[str, str]]:
        """Detector -> acquirer and recorders -> address. Raises `StinsError` if no such beamline runs."""
        detectors: Mapping[str, Mapping[str, str]] = self._read()["detectors"]
        return detectors

    def data(self) -> Path | None:
        """The folder below which it records; None while it is being started. Raises as `read` does."""
        folder = self._read().get("data")
        return Path(folder) if folder else None

    def backend(self, detector: str) -> str:
        """What drives a detector. Raises as `read` does."""
        return str(self._read()["backends"].get(detector, ""))

    def check_started(self) -> None:
        """Raises `StinsError` while it is being started: nothing is known of its detectors yet; and as `read` does."""
        if self.data() is None:
            raise StinsError(
                f"the beamline {self.path.stem!r} is just being started; try again once `stins status` shows it"
            )

    def numbers(self, detector: str) -> NumbersRequest | None:
        """Numbers of each frame that its beamline file asks for. Raises as `read` does."""
        wanted = self._read().get("numbers", {}).get(detector)
        return None if wanted is None else msgspec.convert(wanted, NumbersRequest)

    def simulators(self) -> Mapping[str, Mapping[str, str]]:
        """Detector -> what `stins check` takes for its simulator, and its hook. Raises as `read` does."""
        simulators: Mapping[str, Mapping[str, str]] = self._read().get("simulators", {})
        return simulators

    def remove(self) -> None:
        """The beamline has ended. Of one that another process runs, nothing is touched."""
        if self._lock is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def runs_here(self) -> bool:
        """Whether a process of this computer runs it."""
        return bool(self._running())

    def _write(self, **content: Any) -> None:
        own = {"process": os.getpid(), "host": platform.node(), "detectors": {}}
        new = self.path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps({**own, **content}, indent=2))
        new.replace(self.path)  # whole, or as it was: somebody may be reading

    def _read(self) -> Mapping[str, Any]:
        content = self._running()
        if not content:
            running = ", ".join(running_beamlines()) or "none"
            raise StinsError(f"no beamline {self.path.stem!r} runs here (running: {running}); start it with stins up")
        return content

    def _running(self) -> Mapping[str, Any]:
        """What is written of it; nothing unless it runs, on this computer (a home may be that of several)."""
        content = self._content() if _held(_lock_of(self.path)) else {}
        return content if content.get("host") == platform.node() else {}

    def _content(self) -> Mapping[str, Any]:
        try:
            content: Mapping[str, Any] = json.loads(self.path.read_text())
        except (OSError, ValueError):  # it is just being claimed, or has just ended
            return {}
        return content


def running_beamlines() -> list[str]:
    """Names of the beamlines that `stins up`, or a session, runs for this user."""
    return sorted(path.stem for path in _run_folder().glob("*.json") if RunFile(path.stem).runs_here())


def _taken(lock: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_AGAIN_S)
        else:
            return True
    return False


def _held(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _run_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "stins"
