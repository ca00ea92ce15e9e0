"""What the tests of catalogues share."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine

from tests.stins_ophyd.chain import Chain

DEADLINE_S = 60.0
_ROOT = Path(__file__).parent.parent.parent


def sent(chain: Chain, frames: int) -> np.ndarray:
    """The frames as the acquirer says they were."""
    return np.stack([chain.reference(frame) for frame in range(frames)])


class Reader:
    """Another process with the same catalogue; see `tests.at_home.reader`."""

    def __init__(self, folder: Path, readable: Path) -> None:
        self._command = [sys.executable, "-W", "ignore", "-m", "tests.at_home.reader", str(folder), str(readable)]
        self._start()

    def _start(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True, cwd=_ROOT)
        self._ready = False

    def _await_ready(self) -> None:
        """Waits until it has opened the catalogue."""
        assert self._process.stdout is not None
        if self._ready:
            return
        self._ready = True
        while (line := self._process.stdout.readline()).strip() != '"ready"':
            assert line, "the reader ended"  # else: Tiled greets with its version

    def ask(self, **asked: Any) -> dict[str, Any]:
        """Its answer; one that has ended is started again."""
        if self._process.returncode is not None:
            self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._await_ready()
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer
        return answer

    def end(self) -> int:
        """Ends it as a session ends: what it has recorded, it writes. What it ended with, also if it had ended."""
        if self._process.returncode is None:
            self._process.communicate(timeout=DEADLINE_S)
        return int(self._process.returncode)


def when(engine: RunEngine, name: str, reached: Callable[[Any], bool], act: Callable[[], Any]) -> list[Any]:
    """Does that once, when such a document comes; the plan waits meanwhile. What it said is in the list."""
    said: list[Any] = []

    def hear(_name: str, doc: dict[str, Any]) -> None:
        if not said and reached(doc):
            said.append(act())

    engine.subscribe(hear, name)
    return said
