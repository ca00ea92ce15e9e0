"""The simulator as one thing: it runs in a thread of its own, and may be told from any other what to do."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from .faults import Fault
from .image_file import image_file
from .options import PilatusOptions
from .server import Server

__all__ = ["Simulator"]

T = TypeVar("T")
_DEADLINE_S = 60.0


class Simulator:
    """`start` returns once clients can connect; `stop` once everything is closed. Usable in a `with` statement."""

    def __init__(self, options: PilatusOptions) -> None:
        self._options = options
        self._server = Server(options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="camserver", daemon=True)

    def start(self) -> Self:
        """Raises `StinsError` if a port is taken."""
        self._thread.start()
        try:
            self._run(self._server.open())
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Closes all connections. Stopping twice does no harm."""
        if self._loop.is_closed():
            return
        self._run(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_DEADLINE_S)
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Where camserver listens, HOST:PORT."""
        return f"{self._options.host}:{self._server.port}"

    @property
    def hook(self) -> str:
        """Where the test hook listens, HOST:PORT."""
        return f"{self._options.host}:{self._server.hook_port}"

    @property
    def port(self) -> int:
        """Port of camserver."""
        return self._server.port

    @property
    def listening(self) -> bool:
        """Whether camserver is there, and not gone for a while."""
        return self._server.listening

    @property
    def images(self) -> int:
        """How many images of the present series were taken."""
        return self._server.exposures.taken

    def pixels(self, number: int, gap_fill: int = -1) -> Any:
        """What image `number` of a series shows, [rows, columns] of int32."""
        return self._server.pool.pixels(number, gap_fill)

    def image_file(self, number: int) -> bytes:
        """A file with that image, as camserver writes it."""
        return image_file(f"image_{number:05d}", ["Detector: simulated"], self._server.pool.of_series(number, -1))

    def trigger(self, count: int = 1, *, gate_s: float | None = None) -> int:
        """Pulses on the cable, each once the detector is ready for it; how many were taken."""
        return sum(self._run(self._server.exposures.pulse(gate_s)) for _ in range(count))

    def interrupt(self) -> None:
        """Somebody ends the series at camserver's own window."""
        self._run(self._server.interrupt())

    def add_fault(self, fault: Fault) -> None:
        """Something is to go wrong from now on."""
        self._loop.call_soon_threadsafe(self._server.faults.add, fault)

    def clear_faults(self) -> None:
        """All is well again."""
        self._loop.call_soon_threadsafe(self._server.faults.clear)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_DEADLINE_S)
