"""A simulated detector as a process of its own, for tests: its addresses, its commands, and its test hook."""

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
import zmq

from stins.daemon import Ready, read_ready

DEADLINE_S = 30.0


class RunningEiger:
    """`stins simulate eiger`: `url` is its HTTP, `v1` and `v2` its streams; `client` is an HTTP client for all else."""

    def __init__(self, process: "subprocess.Popen[str]", ready: Ready, api: str) -> None:
        self.process = process
        self.ready = ready
        self.url = ready.control
        self.port = int(ready.control.rpartition(":")[2])
        self.v1, self.v2 = ready.streams
        self.v1_port, self.v2_port = (int(stream.rpartition(":")[2]) for stream in ready.streams)
        self.api = api
        self.client = httpx.Client(base_url=ready.control, timeout=DEADLINE_S, trust_env=False, verify=False)  # noqa: S501

    # -- SIMPLON --------------------------------------------------------------------------------

    def address(self, module: str, task: str, key: str = "") -> str:
        return f"/{module}/api/{self.api}/{task}/{key}".rstrip("/")

    def get(self, module: str, task: str, key: str) -> Any:
        """The JSON that a GET is answered with."""
        return _checked(self.client.get(self.address(module, task, key))).json()

    def value(self, key: str, module: str = "detector") -> Any:
        """The value of a configuration key."""
        return self.get(module, "config", key)["value"]

    @property
    def state(self) -> str:
        """The detector's state."""
        return str(self.get("detector", "status", "state")["value"])

    def put(self, key: str, value: Any, module: str = "detector") -> list[str]:
        """Sets a configuration key; the names of those that changed."""
        return list(_checked(self.client.put(self.address(module, "config", key), json={"value": value})).json())

    def set(self, module: str = "detector", **values: Any) -> None:
        """Sets several, in order; for keys without a slash."""
        for key, value in values.items():
            self.put(key, value, module)

    def command(self, name: str, body: Any = None, module: str = "detector") -> Any:
        """Gives a command; its answer, None where it has none."""
        content = None if body is None else json.dumps(body)
        reply = _checked(self.client.put(self.address(module, "command", name), content=content))
        return reply.json() if reply.content else None

    # -- what the real one does not have --------------------------------------------------------

    def pulse(self, **train: Any) -> dict[str, int]:
        """External pulses: `count`, `width_s`, `period_s`; how many were taken, and ignored."""
        return dict(_checked(self.client.post("/simulator/trigger", json=train)).json())

    def fault(self, kind: str, **fault: Any) -> None:
        """Turns a fault on."""
        _checked(self.client.post("/simulator/faults", json={"kind": kind, **fault}))

    def clear_faults(self) -> None:
        """Turns all faults off."""
        _checked(self.client.delete("/simulator/faults"))

    def restart(self, seconds: float = 0.0) -> None:
        """The service on the DCU restarts."""
        _checked(self.client.post("/simulator/restart", json={"seconds": seconds}))

    def status(self) -> dict[str, Any]:
        """The simulator's own numbers: state, series, images_taken, images_dropped, images_waiting, faults_hit."""
        return dict(_checked(self.client.get("/simulator/status")).json())


@contextmanager
def running_eiger(**options: Any) -> Iterator[RunningEiger]:
    """Starts `stins simulate eiger`; options as on its command line, `_` for `-`. It ends with the context.

    Small images and no waiting unless told otherwise; `faults` is a list of such objects.
    """
    chosen = {"shape": "64x48", "initialize_s": 0, "arm_s": 0, **options}
    faults = chosen.pop("faults", [])
    command = [sys.executable, "-m", "stins.cli", "simulate", "eiger", "--end-with-stdin"]
    for name, value in chosen.items():
        command += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    for fault in faults:
        command += ["--fault", json.dumps(fault)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    eiger = None
    try:
        eiger = RunningEiger(process, _read_ready(process), str(chosen.get("api", "1.8.0")))
        yield eiger
    finally:
        if eiger is not None:
            eiger.client.close()
        process.terminate()
        process.wait(DEADLINE_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def pulling(endpoint: str, queue: int = 1000) -> Iterator["zmq.Socket[bytes]"]:
    """A client of a stream, which waits for a message no longer than the deadline; `queue`: how many it holds.

    Behind it the stream has heard that it is gone: else the next message might still be given to it, not to the next.
    """
    before = _clients(endpoint)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.PULL)
    socket.rcvtimeo = int(DEADLINE_S * 1000)
    try:
        socket.rcvhwm = queue
        socket.connect(endpoint)
        yield socket
    finally:
        socket.close(linger=0)
        context.term()
        deadline = time.monotonic() + DEADLINE_S
        while _clients(endpoint) > before and time.monotonic() < deadline:
            time.sleep(0.01)


def _clients(endpoint: str) -> int:
    """How many connections a stream has, at its own end."""
    port, gone = int(endpoint.rpartition(":")[2]), (psutil.CONN_LISTEN, psutil.CONN_TIME_WAIT)
    found = psutil.net_connections("tcp")
    return sum(bool(each.laddr) and each.laddr.port == port and each.status not in gone for each in found)


def _read_ready(process: "subprocess.Popen[str]") -> Ready:
    assert process.stdout
    readable, _, _ = select.select([process.stdout], [], [], DEADLINE_S)
    assert readable, f"no ready line within {DEADLINE_S:g} s"
    line = process.stdout.readline()
    ready = read_ready(line)
    assert ready is not None, f"got {line!r}, expected a ready line"
    return ready


def _checked(reply: httpx.Response) -> httpx.Response:
    assert reply.status_code == 200, f"{reply.request.method} {reply.request.url}: {reply.status_code} {reply.text}"
    return reply
