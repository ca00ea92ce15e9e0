"""The public simulator of tickit-devices, in an environment of its own: it needs cbor2 below 6, which we do not.

It is installed once in a test session, from wherever uv gets its packages.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

__all__ = ["RunningTickit", "install_tickit", "running_tickit"]

PACKAGES = ("tickit-devices==0.4.1", "cbor2<6")
INSTALL_S, START_S = 150.0, 30.0
#: Its PUSH socket also connects to its own address. Two PUSH sockets refuse each other; while the connecting one tries
#: again, it gets every second message, and these are gone: for a moment, or (on a busy machine) for as long as it runs.
_BIND_ONLY = """
import aiozmq, zmq
from tickit.adapters.io import zeromq_push_io as io
from tickit.cli import main

async def bound(host, port):
    return await aiozmq.create_zmq_stream(zmq.PUSH, bind=f"tcp://{host}:{port}")

io.ZeroMqPushIo.__init__.__defaults__ = (*io.ZeroMqPushIo.__init__.__defaults__[:2], bound)
main()
"""


class RunningTickit(msgspec.Struct, frozen=True):
    """Where it listens."""

    port: int
    v1_port: int
    v2_port: int


def install_tickit(folder: Path) -> Path:
    """Its Python; skips the test, saying why, where it can't be installed."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("no uv here to install tickit-devices with")
    python = folder / "tickit" / "bin" / "python"
    for command in (
        [uv, "venv", "-q", "--python", "3.11", str(folder / "tickit")],
        [uv, "pip", "install", "-q", "--python", str(python), *PACKAGES],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{' '.join(PACKAGES)} could not be installed within {INSTALL_S:g} s")
        if done.returncode != 0:
            pytest.skip(f"{' '.join(PACKAGES)} cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
    return python


@contextmanager
def running_tickit(python: Path, folder: Path) -> Iterator[RunningTickit]:
    """Runs its EIGER2 16M, which can't choose ports by itself, on ports that are free now."""
    tickit = RunningTickit(*_free_ports(3))
    component = {
        "type": "tickit_devices.eiger.Eiger",
        "name": "eiger",
        "inputs": {},
        "host": "127.0.0.1",
        "port": tickit.port,
        "stream_host": "127.0.0.1",
        "stream_legacy_port": tickit.v1_port,
        "stream_cbor_port": tickit.v2_port,
    }
    config = folder / "tickit.yaml"
    config.write_bytes(msgspec.json.encode([component]))
    command = [str(python), "-c", _BIND_ONLY, "--log-level", "WARNING", "all", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(tickit.port, process)
        yield tickit
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while True:
        assert process.poll() is None, f"tickit ended with {process.returncode}"
        assert time.monotonic() < deadline, f"tickit does not listen within {START_S:g} s"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            continue


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
