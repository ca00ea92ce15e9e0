"""All parts of the simulator, put together."""

from typing import Any

import zmq

from stins import StinsError

from .detector import Detector
from .faults import Faults
from .hook import Hook
from .monitor import Monitor
from .options import EigerOptions
from .orders import Order, Stop
from .outlet import Outlet
from .parts import Parts
from .readout import Readout
from .series import StreamFormat
from .server import Server
from .settings import Settings
from .simplon import Simplon

__all__ = ["Simulator"]


class Simulator:
    """`run` works in the thread that calls it, until `stop`, which any thread may call."""

    def __init__(self, options: EigerOptions) -> None:
        settings, faults = Settings(options), Faults(options.faults)
        monitor = Monitor(settings)
        self._context: zmq.Context[Any] = zmq.Context()
        self._outlets: dict[StreamFormat, Outlet] = {}
        self._detector = Detector(options, settings, faults, monitor, self._order)
        self._readout = Readout(self._outlets, self._detector)
        parts = Parts(
            api=options.api,
            settings=settings,
            faults=faults,
            monitor=monitor,
            detector=self._detector,
            readout=self._readout,
        )
        try:
            self._open(options)
            simplon = Simplon(parts)
            faults.know(simplon.addresses())
            self._server = Server(options.host, options.port, simplon, Hook(parts), faults)
        except StinsError:
            self._close()
            raise

    @property
    def url(self) -> str:
        """Where HTTP is."""
        return self._server.url

    @property
    def streams(self) -> tuple[str, str]:
        """Where stream v1 and stream v2 are."""
        return self._outlets["legacy"].endpoint, self._outlets["cbor"].endpoint

    def start(self) -> None:
        """Returns once requests are answered; what they order is done by `run`."""
        self._server.start()

    def run(self) -> None:
        """Takes and sends images until it is stopped, then lets go of everything."""
        try:
            self._readout.run()
        finally:
            self._detector.stop()
            self._server.stop()
            self._close()

    def stop(self) -> None:
        """Has `run` return."""
        self._order(Stop())

    def _order(self, order: Order) -> None:
        self._readout.order(order)

    def _open(self, options: EigerOptions) -> None:
        host = f"[{options.host}]" if ":" in options.host else options.host
        ports: dict[StreamFormat, int] = {"legacy": options.stream_port, "cbor": options.stream2_port}
        for name, port in ports.items():
            self._outlets[name] = Outlet(self._context, f"tcp://{host}:{port}", options.buffer_images)

    def _close(self) -> None:
        for outlet in self._outlets.values():
            outlet.close()
        self._context.term()
