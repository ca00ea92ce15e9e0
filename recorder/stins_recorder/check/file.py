"""Checks a file from a safe distance: a process of its own reads it, this one listens with a deadline."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from stins.findings import Finding, Findings, Report

from .opening import SILENT
from .reader import Counts, Line, Step

__all__ = ["check_file"]

#: Until its first word the reader loads its libraries, which says nothing of the file: 0.7 s, on a busy machine more.
_START_DEADLINE_S = 30.0
_END_DEADLINE_S = 5.0
_BLOCK_BYTES = 1 << 16
_LINES: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def check_file(path: Path, *, decode: bool, timeout_s: float, watch: Callable[[Step], None]) -> Report:
    """Checks one file by all rules; never raises for what the file holds.

    `timeout_s` bounds the time without a sign of life from the reader once it looks at the file, not the whole;
    `watch` hears each step.
    """
    findings, counts = Findings(), dict[str, int]()
    silence_s = max(timeout_s, _START_DEADLINE_S)
    last, finished = Step("starting"), False
    with tempfile.TemporaryFile() as errors:
        process = _start(path, errors, decode=decode)
        code: int | None = None
        try:
            for line in _lines(process, silence_s, timeout_s):
                silence_s = timeout_s
                if isinstance(line, Finding):
                    findings.add(line)
                elif isinstance(line, Counts):
                    counts, finished = line.counts, True
                else:
                    last = line
                    watch(line)
            code = process.wait(_END_DEADLINE_S)
        except (TimeoutError, subprocess.TimeoutExpired):
            finished = False
        finally:
            _end(process)
        if not finished:
            findings.fault(SILENT, str(path), _how(code, last, silence_s, errors), "a file that can be read to its end")
    return Report(str(path), "file", findings, counts)


def _start(path: Path, errors: IO[bytes], *, decode: bool) -> subprocess.Popen[bytes]:
    # -P: what lies beside the file, in the folder we are called in, is never imported.
    command = [sys.executable, "-P", "-m", "stins_recorder.check.reader", str(path.absolute())]
    if decode:
        command.append("--decode")
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)


def _lines(process: subprocess.Popen[bytes], first_s: float, timeout_s: float) -> Iterator[Line]:
    """What the reader says until it ends. Raises TimeoutError when it says nothing for too long, `first_s` at first."""
    assert process.stdout is not None  # noqa: S101  # a pipe was asked for
    rest, patience_s = b"", first_s
    while select.select([process.stdout], [], [], patience_s)[0]:
        patience_s = timeout_s
        block = os.read(process.stdout.fileno(), _BLOCK_BYTES)
        if not block:
            return
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield _LINES.decode(line)
    raise TimeoutError


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None  # noqa: S101  # as above
    process.kill()  # does nothing to one that has ended
    # In an uninterruptible call (a dead network file system) it ends when that call does: not waited for.
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_DEADLINE_S)
    process.stdout.close()


def _how(code: int | None, last: Step, silence_s: float, errors: IO[bytes]) -> str:
    at = f"while at {last.what}" + (f" ({last.done} of {last.total})" if last.total else "")
    if code is None:
        return f"no sign of life for {silence_s:g} s {at}"
    if code < 0:
        return f"a reader that died of {signal.Signals(-code).name} {at}"
    errors.seek(0)
    words = errors.read()[-2000:].decode(errors="replace").split("\n")
    said = next((word for word in reversed(words) if word.strip()), "no word")
    return f"a reader that ended with status {code} {at}: {said}"
