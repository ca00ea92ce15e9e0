"""What the acquirers' tests share: a service in a thread, a process of its own, and a real receiver for both."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
import zmq
from stins_acquirers.backend import Backend
from stins_acquirers.backlog import WhenFull
from stins_acquirers.service import Service
from stins_acquirers.simulated import SimulatedBackend, SimulatedSettings
from stins_acquirers.streams import Streams

from stins import Ack, Decoder, EndSeries, OpenSeries, ReorderWindow, SeriesReceiver, StoreFrame
from stins.control import AcquirerState, AcquirerStatus
from stins.daemon import Ready, read_ready
from stins.daemon.client import DaemonClient
from stins.transport import DEFAULT_RING_BYTES, AckSender, Publisher, Receiver

DEADLINE_S = 20.0


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """Sockets of one test; all are closed behind it."""
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


class Consumer:
    """A recorder without files: it notes what a receiver is told to do. With `acks` it says hello to that endpoint."""

    def __init__(
        self,
        endpoint: str,
        context: zmq.Context[zmq.Socket[bytes]],
        *,
        strict: bool = True,
        acks: str | None = None,
        boot_id: str = "boot 0",
        machine: SeriesReceiver | None = None,
    ) -> None:
        self._receiver = Receiver([endpoint], context=context)
        self._acks = AckSender([acks] if acks else [], context)
        self._boot_id = boot_id
        self._acked = Ack(boot_id=boot_id, series_id=None, message_id=None)
        self._decoder = Decoder(strict=strict)
        self.machine = machine or SeriesReceiver(window=ReorderWindow(timeout_s=0.3))
        self.instructions: list[Any] = []
        self.message_ids: list[int] = []

    def ack(self) -> None:
        """Says that all that was handled is flushed."""
        series_id, message_id = self.machine.settled
        self._acked = Ack(boot_id=self._boot_id, series_id=series_id, message_id=message_id)
        self._acks.send(self._acked)

    def until(self, kind: type, count: int = 1) -> list[Any]:
        """All instructions, once `count` more of that kind are among them."""
        begin, deadline = len(self.instructions), time.monotonic() + DEADLINE_S
        while sum(isinstance(done, kind) for done in self.instructions[begin:]) < count:
            assert time.monotonic() < deadline, f"no {kind.__name__} in {self.instructions[begin:]}"
            if not self._receiver.socket.poll(20):
                # The heartbeat: news or not.
                self._acks.send(self._acked)
            parts = self._receiver.receive()
            if parts is None:
                self.instructions += self.machine.tick(time.monotonic())
                continue
            packet = self._decoder.decode(parts)
            self.message_ids.append(packet.header.message_id)
            self.instructions += self.machine.receive(packet, time.monotonic())
        return self.instructions

    def until_connected(self) -> None:
        """Once the sender is there; nothing is received meanwhile."""
        deadline = time.monotonic() + DEADLINE_S
        while not self._receiver.connections:
            assert time.monotonic() < deadline, "no connection"
            self._receiver.socket.poll(5)
            self._receiver.watch_connections()

    def series(self) -> tuple[OpenSeries, list[StoreFrame], EndSeries]:
        """The next whole series."""
        begin = len(self.instructions)
        done = self.until(EndSeries)[begin:]
        opened = next(each for each in done if isinstance(each, OpenSeries))
        ended = next(each for each in done if isinstance(each, EndSeries))
        return opened, [each for each in done if isinstance(each, StoreFrame)], ended

    def close(self) -> None:
        self._receiver.close()
        self._acks.close(0)


class RunningService:
    """A service in a thread, and where its frames are."""

    def __init__(
        self,
        backend: Backend,
        context: zmq.Context[zmq.Socket[bytes]],
        peer_timeout_s: float,
        when_full: WhenFull,
        **publisher: Any,
    ) -> None:
        self.publisher = Publisher("tcp://127.0.0.1:0", max_message_bytes=1 << 24, context=context, **publisher)
        self.service = Service(
            "det", "simulated", backend, Streams([self.publisher]), peer_timeout_s=peer_timeout_s, when_full=when_full
        )
        self._thread = threading.Thread(target=self.service.run, name="service")
        self._thread.start()

    @property
    def status(self) -> AcquirerStatus:
        return self.service.board.status

    def until(self, seen: Callable[[AcquirerStatus], bool]) -> AcquirerStatus:
        """The first status of which that is true, of the present one and all that follow, however short they last."""
        moment = threading.Event()
        found: list[AcquirerStatus] = []

        def look() -> None:
            status = self.status
            if seen(status):
                found.append(status)
                moment.set()

        forget = self.service.board.listen(look)
        look()
        assert moment.wait(DEADLINE_S), f"not within {DEADLINE_S:g} s; the last status was {self.status}"
        forget()
        return found[0]

    def until_state(self, state: AcquirerState) -> AcquirerStatus:
        """The status, once it has that state."""
        return self.until(lambda status: status.state is state)

    def stop(self) -> None:
        self.service.stop()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the service did not stop"
        self.publisher.close()


@pytest.fixture
def start(
    context: zmq.Context[zmq.Socket[bytes]], consume: Callable[..., Consumer]
) -> Iterator[Callable[..., RunningService]]:
    """Starts a service: `start(shape=(8, 8), ...)` simulates, `start(backend)` runs any backend.

    It needs `consume` so that it stops first: an open series' end would wait for a consumer that is gone.
    """
    running: list[RunningService] = []

    def start(
        backend: Backend | None = None,
        *,
        peer_timeout_s: float = 10.0,
        hwm: int = 1000,
        when_full: WhenFull = "drop",
        acks: str | None = None,
        ring_bytes: int = DEFAULT_RING_BYTES,
        **settings: Any,
    ) -> RunningService:
        settings.setdefault("shape", (8, 8))
        chosen = backend or SimulatedBackend(SimulatedSettings(**settings))
        stream = {"budget_bytes": hwm << 24, "acks": acks, "ring_bytes": ring_bytes}
        running.append(RunningService(chosen, context, peer_timeout_s, when_full, **stream))
        return running[-1]

    yield start
    for service in running:
        service.stop()


@pytest.fixture
def consume(context: zmq.Context[zmq.Socket[bytes]]) -> Iterator[Callable[..., Consumer]]:
    """Connects a consumer to an endpoint."""
    consumers: list[Consumer] = []

    def consume(endpoint: str, **options: Any) -> Consumer:
        consumers.append(Consumer(endpoint, context, **options))
        consumers[-1].ack()
        return consumers[-1]

    yield consume
    for consumer in consumers:
        consumer.close()


class RunningProcess:
    """`stins acquirer --config` as a process of its own."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "stins.cli", "acquirer", "--config", str(config)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.ready = self._read_ready()
        self.client = DaemonClient("det", self.ready.control, AcquirerStatus)

    def _read_ready(self) -> Ready:
        assert self.process.stdout
        readable, _, _ = select.select([self.process.stdout], [], [], DEADLINE_S)
        assert readable, f"no ready line within {DEADLINE_S:g} s"
        line = self.process.stdout.readline()
        ready = read_ready(line)
        assert ready is not None, f"got {line!r}, expected a ready line"
        return ready

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.terminate()
            self.process.wait(DEADLINE_S)
        assert self.process.stdout
        self.process.stdout.close()


def write_config(path: Path, **settings: Any) -> Path:
    """The configuration of a small simulated detector that doesn't wait for long."""
    content = {
        "name": "det",
        "backend": "simulated",
        "settings": {"shape": [8, 8], **settings},
        "stream": {"peer_timeout_s": 0.5},
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProcess]:
    """An acquirer process that no recorder connects to, for all tests of a module that leave it idle."""
    process = RunningProcess(write_config(tmp_path_factory.mktemp("idle") / "acquirer.yaml"))
    yield process
    process.close()


@pytest.fixture
def launch(tmp_path: Path, consume: Callable[..., Consumer]) -> Iterator[Callable[..., RunningProcess]]:
    """Starts an acquirer process: `launch(shape=[8, 8], ...)`; it needs `consume` as `start` does."""
    running: list[RunningProcess] = []

    def launch(**settings: Any) -> RunningProcess:
        running.append(RunningProcess(write_config(tmp_path / f"acquirer{len(running)}.yaml", **settings)))
        return running[-1]

    yield launch
    for process in running:
        process.close()
