"""What stands in for a detector in a benchmark: SIMPLON's keys, as few as do, and a stream that costs hardly anything.

The product's simulator keeps a detector's rates; this one sends as fast as it is told, or as fast as anybody takes.
"""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

import cbor2
import numpy as np
import zmq
from stins_acquirers.compress import bslz4_chunk

__all__ = ["IMAGES", "Images", "stand_in"]

#: Messages that wait for the receiver; beyond them it is the stand-in that waits, as no detector would.
_QUEUE = 64
_PLACE = 0xFFFF_FFFF
_PLACE_BYTES = cbor2.dumps(_PLACE)
_TAGS = {"uint16": 69, "uint32": 70}


@dataclass(frozen=True)
class Images:
    """One kind of image: shape, type, compression, and the mean counts of a pixel."""

    shape: tuple[int, int]
    dtype: str
    compression: str
    photons: float

    def blob(self, seed: int) -> bytes:
        """The pixels as they travel."""
        pixels = np.random.default_rng(seed).poisson(self.photons, self.shape).astype(self.dtype)
        return pixels.tobytes() if self.compression == "none" else bytes(bslz4_chunk(pixels))


IMAGES = {
    # 163 kB each, as an EIGER2 1M sends of a weak pattern.
    "1Mpixel": Images((1062, 1028), "uint16", "bslz4", 0.1),
    "10MB": Images((2236, 2236), "uint16", "none", 1.0),
}


class _Messages:
    """Image messages of which only the number is new."""

    def __init__(self, images: Images, different: int = 4) -> None:
        self._halves = [self._message(images, images.blob(seed)) for seed in range(different)]

    def _message(self, images: Images, blob: bytes) -> tuple[bytes, bytes]:
        packed: Any = blob
        if images.compression != "none":
            packed = cbor2.CBORTag(56500, [images.compression, np.dtype(images.dtype).itemsize, blob])
        array = cbor2.CBORTag(40, [list(images.shape), cbor2.CBORTag(_TAGS[images.dtype], packed)])
        head = {"type": "image", "series_id": 1, "series_unique_id": "bench", "image_id": _PLACE}
        times = {key: [1_000_000, 50_000_000] for key in ("real_time", "start_time", "stop_time")}
        date = cbor2.CBORTag(0, "2026-01-01T00:00:00.000+01:00")
        message = {**head, **times, "series_date": date, "data": {"threshold_1": array}}
        before, _, behind = cbor2.dumps(cbor2.CBORTag(55799, message)).partition(_PLACE_BYTES)
        return before + b"\x1a", behind

    def __call__(self, number: int) -> bytes:
        before, behind = self._halves[number % len(self._halves)]
        return b"".join((before, number.to_bytes(4, "big"), behind))


class _Detector:
    """The keys, and the series that is armed."""

    def __init__(self, images: Images, stream: zmq.Socket[bytes]) -> None:
        rows, columns = images.shape
        bits = np.dtype(images.dtype).itemsize * 8
        self.config: dict[str, Any] = {
            "x_pixels_in_detector": columns, "y_pixels_in_detector": rows, "bit_depth_image": bits, "count_time": 1e-4,
            "frame_time": 1e-4, "detector_readout_time": 1e-7, "nimages": 1, "ntrigger": 1, "trigger_mode": "ints",
            "compression": images.compression,
        }  # fmt: skip
        self.others: dict[str, Any] = {"mode": "disabled", "format": "cbor", "header_detail": "all"}
        self.others["header_appendix"] = ""
        self.state, self.rate = "idle", 0.0
        self.triggered, self.done = threading.Event(), threading.Event()
        self.began = self.ended = 0.0
        self._messages, self._stream = _Messages(images), stream

    def get(self, module: str, key: str) -> Any:
        if key == "keys":
            return sorted(self.config)
        found = {"state": self.state, "dropped": 0, **(self.config if module == "detector" else self.others)}
        value = found[key]
        return {"value": value, "value_type": {float: "float", int: "uint"}.get(type(value), "string")}

    def command(self, name: str) -> None:
        if name == "arm":
            self.state = "ready"
            self._send("start", number_of_images=self.config["nimages"], user_data=self.others["header_appendix"])
        elif name == "trigger":
            self.state = "acquire"
            self.done.clear()
            self.triggered.set()
            self.done.wait()
        else:
            self.state = "idle"

    def _send(self, kind: str, **more: Any) -> None:
        message = {"type": kind, "series_id": 1, "series_unique_id": "bench", **more}
        self._stream.send(cbor2.dumps(cbor2.CBORTag(55799, message)))

    def take(self) -> None:
        """All images of the series, at its rate."""
        self.triggered.clear()
        self.began, self.ended = send_images(self._stream, self._messages, self.config["nimages"], self.rate)
        self._send("end")
        self.state = "idle"
        self.done.set()

    def flood(self, socket: zmq.Socket[bytes], count: int, rate: float) -> float:
        """So many images without a series; when it began. `rate` 0: as fast as they are taken."""
        return send_images(socket, self._messages, count, rate)[0]


def send_images(socket: zmq.Socket[bytes], messages: _Messages, count: int, rate: float) -> tuple[float, float]:
    """When it began, and when the last one had left; `rate` 0: as fast as they are taken."""
    began = time.monotonic()
    for number in range(count):
        if rate and (early := began + number / rate - time.monotonic()) > 0:
            time.sleep(early)
        # Only now: a detector makes no images on the machine that takes them, least of all while it takes one.
        socket.send(messages(number), copy=False)
    return began, time.monotonic()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    detector: _Detector

    def do_GET(self) -> None:
        module, _, *rest = self.path.strip("/").split("/")
        if rest == ["version"]:
            self._answer({"value": "1.8.0"})
            return
        try:
            self._answer(self.detector.get(module, "/".join(rest[2:])))
        except KeyError:
            self._answer("", 404)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        module, _, _, task, *key = self.path.strip("/").split("/")
        if task == "command":
            self.detector.command(key[0])
            self._answer({"sequence id": 1})
            return
        values = self.detector.config if module == "detector" else self.detector.others
        values["/".join(key)] = json.loads(body)["value"]
        self._answer(key)

    def _answer(self, content: Any, status: int = 200) -> None:
        raw = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def stand_in(pipe: Connection, kind: str) -> None:
    """Says where it is: HTTP port, stream port, endpoint without a series. Then it does what it is told.

    ("rate", r): for the next series, which it reports when it is over; ("flood", n, r): images without a series.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    stream, bare = _bound(context), _bound(context)
    detector = _Detector(IMAGES[kind], stream)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"detector": detector}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ports = [int(socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2]) for socket in (stream, bare)]
    pipe.send((server.server_port, ports[0], f"tcp://127.0.0.1:{ports[1]}"))
    for what, *values in _told(pipe):
        if what == "flood":
            pipe.send(detector.flood(bare, *values))
            continue
        (detector.rate,) = values
        detector.triggered.wait()
        detector.take()
        pipe.send((detector.began, detector.ended))


def _bound(context: "zmq.Context[zmq.Socket[bytes]]") -> zmq.Socket[bytes]:
    socket = context.socket(zmq.PUSH)
    socket.sndhwm = _QUEUE
    socket.bind("tcp://127.0.0.1:0")
    return socket


def _told(pipe: Connection) -> Iterator[tuple[Any, ...]]:
    while True:
        yield pipe.recv()
