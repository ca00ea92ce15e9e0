"""What the recorder's tests are made of: a recorder without sockets, and one as a process of its own."""

import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from msgspec import UNSET
from stins_recorder.errors import StorageError
from stins_recorder.recording.journal import Journal
from stins_recorder.recording.recording import Recording
from stins_recorder.recording.records import Record

from stins import (
    Decoder,
    FrameLayout,
    Part,
    SeriesHeader,
    SeriesInfo,
    SeriesReceiver,
    SeriesSender,
    encode,
)
from stins.control import RecorderState, RecorderStatus, SeriesState, SeriesStatus
from stins.daemon import read_ready
from stins.daemon.client import DaemonClient
from stins.receiver import Instruction
from stins.transport import Publisher

SHAPE = (8, 12)
IMAGE = Part(name="image", shape=SHAPE, dtype="uint16")
DATA = "/entry/instrument/detector/data"
NUMBERS = "/entry/instrument/detector/sequence_number"


def image(number: int, shape: tuple[int, ...] = SHAPE) -> "np.ndarray[Any, Any]":
    """A frame whose every pixel depends on its number."""
    return (np.arange(np.prod(shape)).reshape(shape) + 1000 * number).astype("<u2")


def compressed(number: int, filter_options: Any, shape: tuple[int, ...] = SHAPE) -> bytes:
    """The frame as HDF5's own filter stores it."""
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("d", shape, "<u2", chunks=shape, **filter_options)
        dataset[...] = image(number, shape)
        return dataset.id.read_direct_chunk((0,) * len(shape))[1]


def header(filename: str | None, **values: Any) -> SeriesHeader:
    """A series-start; what belongs to `series` may stand among the others."""
    info = {key: values.pop(key) for key in ("frames_expected", "record", "id", "source", "share") if key in values}
    values.setdefault("data", (IMAGE,))
    return SeriesHeader(series=SeriesInfo(**{"id": "s1", "source": "test", **info}, filename=filename), **values)


def balanced(series: SeriesStatus) -> SeriesStatus:
    """The account, after a look at its sums; they hold for a series that was to have a file."""
    if series.file is None and series.state is not SeriesState.FAILED:
        return series
    assert series.received == series.written + series.discarded + series.retaken, series
    if series.frames_expected is not None:
        assert series.frames_expected == series.written + series.discarded + series.missing, series
    assert sum(last - first + 1 for first, last in series.missing_frames) == series.missing, series
    return series


def wait_until(condition: Callable[[], object], deadline_s: float = 30) -> None:
    """For what tells nobody when it happens."""
    deadline, pause = time.monotonic() + deadline_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s"
        pause.wait(0.02)


class Stream:
    """Messages of a sender, given to whatever takes them."""

    def __init__(self, take: Callable[[list[bytes]], None]) -> None:
        self._take = take
        self._sender = SeriesSender()

    def start(self, filename: str | None = "a.h5", payload: Sequence[bytes] = (), **values: Any) -> None:
        start = header(filename, **values)
        self.series_id = start.series.id
        self._take([encode(self._sender.start(start)), *payload])

    def frame(self, number: int, *payload: bytes, **values: Any) -> None:
        """One frame; without payload that of its number."""
        values.setdefault("data", (IMAGE,))
        content = payload or ((image(number).tobytes(),) if values["data"] else ())
        values = {key: value if value != () else UNSET for key, value in values.items()}
        self._take([encode(self._sender.data(number, **values)), *content])

    def frames(self, *numbers: int, **values: Any) -> None:
        for number in numbers:
            self.frame(number, **values)

    def lose(self, number: int, data: Sequence[Part] = (IMAGE,)) -> None:
        """A frame that is sent and never comes."""
        self._sender.data(number, data=tuple(data) or UNSET)

    def drop(self, first: int, last: int) -> None:
        self._sender.drop(first, last)

    def end(self, **values: Any) -> None:
        self._take([encode(self._sender.end(**values))])

    def series(self, filename: str | None, numbers: Sequence[int], **values: Any) -> None:
        self.start(filename, **values)
        self.frames(*numbers)
        self.end()


class Disk:
    """Stands in for one that fails: given as `watch`, it raises in the steps named, at the next of each, once."""

    def __init__(self) -> None:
        self.fails: set[str] = set()

    def __call__(self, step: str) -> None:
        if step in self.fails:
            self.fails.remove(step)
            raise StorageError(f"{step}: the disk reports an input/output error; look at the system log")


class Desk(Stream):
    """Decoder, machine and recording in this process, without any socket; `disk` may fail."""

    def __init__(
        self,
        root: Path,
        reserve_bytes: int = 0,
        journal: "Journal[Record] | None" = None,
        frames_per_file: int | None = None,
    ) -> None:
        super().__init__(self._give)
        self.root = root
        self.machine = SeriesReceiver()
        self.disk = Disk()
        self.recording = Recording(
            [root],
            self.machine,
            reserve_bytes,
            journal=journal,
            frames_per_file=frames_per_file,
            watch=self.disk,
        )
        self._decoder = Decoder()

    def _give(self, parts: list[bytes]) -> None:
        self._execute(self.machine.receive(self._decoder.decode(parts), 0.0))

    def _execute(self, instructions: Sequence[Instruction]) -> None:
        for done, instruction in enumerate(instructions, 1):
            self.recording.execute(instruction, instructions[done:])

    def give_up_gaps(self) -> None:
        """Messages that did not come never will."""
        self._execute(self.machine.tick(1e6))

    def give_up(self, why: str = "the sender is gone") -> None:
        self._execute(self.machine.sender_gone(why))

    @property
    def account(self) -> SeriesStatus:
        assert self.recording.series is not None
        return self.recording.series

    @property
    def path(self) -> Path:
        assert self.account.file is not None
        return Path(self.account.file)


def module_parts(grid: tuple[int, int], compression: str = "none") -> tuple[tuple[Part, ...], FrameLayout]:
    """One frame in grid[0] x grid[1] modules of SHAPE."""
    rows, columns = SHAPE
    parts = tuple(
        Part(
            name=f"module_{i}_{j}", shape=SHAPE, dtype="uint16", compression=compression, offset=(i * rows, j * columns)
        )
        for i in range(grid[0])
        for j in range(grid[1])
    )
    return parts, FrameLayout(shape=(grid[0] * rows, grid[1] * columns), chunks=SHAPE)


class RecorderProcess:
    """`stins recorder` with its writer, and everything its status said."""

    def __init__(self, folder: Path, wrapper: Sequence[str] = (), **config: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "recorder.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(config))
        command = [*wrapper, sys.executable, "-m", "stins.cli", "recorder", "--config", str(path)]
        with (folder / "recorder.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        self._log = folder / "recorder.log"
        try:
            ready = self._ready_line()
        except BaseException:
            self._kill()
            raise
        self.live, self.pid = ready.live, ready.pid
        self.client: DaemonClient[RecorderStatus] = DaemonClient("recorder", ready.control, RecorderStatus)
        self._changed = threading.Condition()
        self.status = self.client.status()
        self._watch = self.client.watch(self._told, lambda _why: None)

    def _ready_line(self, deadline_s: float = 30) -> Any:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], deadline_s)[0], self.log
        ready = read_ready(self.process.stdout.readline())
        assert ready is not None, self.log
        return ready

    def _kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def _told(self, status: RecorderStatus) -> None:
        with self._changed:
            self.status = status
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[RecorderStatus], object], deadline_s: float = 30) -> RecorderStatus:
        """The first pushed status of which it is true."""
        with self._changed:
            met = self._changed.wait_for(lambda: condition(self.status), deadline_s)
            assert met, f"not within {deadline_s} s: {self.status}\n{self.log}"
            return self.status

    def wait_for_end(self, series_id: str, deadline_s: float = 30) -> SeriesStatus:
        """The account of a series that has ended (one that failed still counts), after a look at its sums."""
        status = self.wait_for(lambda s: ended(s, series_id), deadline_s)
        assert status.series is not None
        return balanced(status.series)

    def close(self) -> int:
        """Ends the process; its exit status."""
        self.process.terminate()
        try:
            code = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._watch.close()
            self.client.close()
            assert self.process.stdout is not None
            self.process.stdout.close()
        return code


def ended(status: RecorderStatus, series_id: str) -> bool:
    series = status.series
    if series is None or series.series_id != series_id or series.state is SeriesState.OPEN:
        return False
    counted = series.written + series.discarded + series.missing
    return series.frames_expected is None or counted == series.frames_expected


class Chain(Stream):
    """A sender in this process and a recorder in its own, over loopback; with `replay` the sender keeps a ring."""

    def __init__(
        self,
        folder: Path,
        wrapper: Sequence[str] = (),
        *,
        replay: bool = False,
        ring_bytes: int = 64 << 20,
        **config: Any,
    ) -> None:
        any_port = "tcp://127.0.0.1:0"
        self.publisher = Publisher(any_port, acks=any_port, ring_bytes=ring_bytes) if replay else Publisher(any_port)
        super().__init__(self._send)
        self.folder, self.wrapper, self.root = folder, wrapper, folder / "data"
        config = {"roots": [str(self.root)], "sources": [self.publisher.endpoint]} | config
        if replay:
            config["acks"] = [self.publisher.acks]
        self.config = config
        try:
            self.recorder = RecorderProcess(folder, wrapper, **config)
        except BaseException:
            self.publisher.close(0)
            raise

    def start(self, filename: str | None = "a.h5", payload: Sequence[bytes] = (), **values: Any) -> None:
        if self.publisher.acks:
            # As an acquirer does: without anybody who acks when it starts, nothing of a series is kept.
            assert self.publisher.wait_for_peer(30), f"no recorder within 30 s\n{self.recorder.log}"
        super().start(filename, payload, **values)

    def _send(self, parts: list[bytes]) -> None:
        assert self.publisher.send(parts, 30), "nobody took the message within 30 s"

    def restart(self) -> None:
        """Another recorder with the same configuration; the one before has ended."""
        self.recorder = RecorderProcess(self.folder, self.wrapper, **self.config)

    def serve(self, condition: Callable[[RecorderStatus], object], deadline_s: float = 30) -> RecorderStatus:
        """The first status of which it is true; meanwhile the sender sends again what it is asked for."""
        deadline = time.monotonic() + deadline_s
        while not condition(status := self.recorder.status):
            assert time.monotonic() < deadline, f"not within {deadline_s} s: {status}\n{self.recorder.log}"
            self.publisher.wait_for_room(0.02)
            self.publisher.service()
        return status

    def serve_to_end(self) -> SeriesStatus:
        """The account of the series that was started last, once it has ended, after a look at its sums."""
        status = self.serve(lambda s: ended(s, self.series_id))
        assert status.series is not None
        return balanced(status.series)

    def flushed(self, rows: int) -> RecorderStatus:
        """Waits until so many rows of the series that was started last are flushed."""

        def there(status: RecorderStatus) -> object:
            series = status.series
            return series and series.series_id == self.series_id and series.rows >= rows

        return self.serve(there) if self.publisher.acks else self.recorder.wait_for(there)

    def settle(self) -> None:
        """Back to IDLE, whatever a test did."""
        if self.recorder.status.state is not RecorderState.IDLE:
            self.recorder.client.post("/stop")
            self.recorder.client.post("/reset")
            self.recorder.wait_for(lambda s: s.state is RecorderState.IDLE)

    def close(self) -> int:
        self.publisher.close(0)
        return self.recorder.close()
