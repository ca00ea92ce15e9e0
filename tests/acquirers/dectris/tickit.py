"""The public simulator of tickit-devices, in an environment of its own: it needs cbor2 below 6, which we do not.

It is installed once in a test session, from wherever uv gets its packages.
"""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

__all__ = ["RunningTickit", "install_tickit", "running_tickit"]

PACKAGES = ("tickit-devices==0.4.1", "cbor2<6")
INSTALL_S, START_S = 150.0, 30.0
#: It binds all its ports in one go, and stays alive without one that is taken.
STARTS, OTHERS_S = 3, 3.0
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
    """Runs its EIGER2 16M, which can't choose ports by itself, on ports that are free; on others, if one was taken."""
    config = folder / "tickit.yaml"
    command = [str(python), "-c", _BIND_ONLY, "--log-level", "WARNING", "all", str(config)]
    # Its modules are there for this session only: what is compiled of them is not worth keeping.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    for _ in range(STARTS):
        tickit = RunningTickit(*_free_ports(3))
        config.write_bytes(msgspec.json.encode([_component(tickit)]))
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        try:
            if _listens(process, tickit):
                yield tickit
                return
        finally:
            _end(process)
    raise AssertionError(f"tickit found one of its ports taken {STARTS} times")


def _component(tickit: RunningTickit) -> dict[str, Any]:
    return {
        "type": "tickit_devices.eiger.Eiger",
        "name": "eiger",
        "inputs": {},
        "host": "127.0.0.1",
        "port": tickit.port,
        "stream_host": "127.0.0.1",
        "stream_legacy_port": tickit.v1_port,
        "stream_cbor_port": tickit.v2_port,
    }


def _listens(process: "subprocess.Popen[bytes]", tickit: RunningTickit) -> bool:
    """Once it does itself, on all its ports; False if it stays without one of them, which another process has taken."""
    ports, begin, pause = set(msgspec.structs.astuple(tickit)), time.monotonic(), threading.Event()
    first = None
    while True:
        assert process.poll() is None, f"tickit ended with {process.returncode}"
        now, missing = time.monotonic(), ports - _ports_of(process.pid)
        if not missing:
            return True
        if missing != ports:
            first = first or now
            if now - first > OTHERS_S:
                return False
        assert now - begin < START_S, f"tickit does not listen on {sorted(missing)} within {START_S:g} s"
        pause.wait(0.05)


def _ports_of(pid: int) -> set[int]:
    connections = psutil.Process(pid).net_connections("tcp")
    return {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
