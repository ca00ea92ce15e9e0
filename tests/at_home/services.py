"""What a queue server needs, started as its documentation says: Redis, and the manager of the queue."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

PROFILE = Path(__file__).parent.parent.parent / "profile_collection"

_STOP_S = 20.0
#: How often a port that was free a moment ago may be taken by somebody else.
_TRIES = 3


def copied_profile(folder: Path) -> Path:
    """A profile to start from: opening a queue server's environment writes into it, and IPython its history."""
    return Path(shutil.copytree(PROFILE, folder / "profile", ignore=shutil.ignore_patterns("db", "*.sqlite", "__py*")))


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """The address of a Redis of its own, which keeps nothing on the disk."""
    program = _redis_program()
    for _ in range(_TRIES):
        host, port = _free_place()
        command = [program, "--bind", host, "--port", str(port), "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
        assert process.stdout is not None
        try:
            if any("Ready to accept connections" in line for line in process.stdout):
                yield f"{host}:{port}"
                return
        finally:
            _end(process)
            process.stdout.close()
    pytest.fail(f"redis-server did not start {_TRIES} times")


@contextmanager
def queue_manager(profile: Path, redis_address: str) -> Iterator[tuple[str, str]]:
    """`start-re-manager` on a profile; yields its addresses for control and for what it prints."""
    folder = profile.parent
    control, info = f"ipc://{folder / 'control'}", f"ipc://{folder / 'info'}"
    command = [
        *(Path(sys.executable).with_name("start-re-manager"), "--startup-dir", profile / "startup"),
        *("--redis-addr", redis_address, "--redis-name-prefix", "stins"),
        *("--zmq-control-addr", control, "--zmq-info-addr", info),
    ]
    with (folder / "manager.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "MPLBACKEND": "agg"})
        try:
            yield control, info
        finally:
            _end(process)


def _redis_program() -> str:
    """Where it is; it is installed where it isn't and can be, from Debian: that takes some seconds, once."""
    if shutil.which("redis-server") is None and shutil.which("apt-get") and os.geteuid() == 0:
        for words in (["update"], ["install", "-y", "--no-install-recommends", "redis-server"]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", "-qq", *words], env=environment, check=False, capture_output=True)
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server here; install it: apt-get install redis-server")
    return program


def _free_place() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
        return host, port


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Ends it, and whatever it has started."""
    started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
    _, alive = psutil.wait_procs(started, _STOP_S)
    for child in alive:
        child.kill()
    process.wait(_STOP_S)
