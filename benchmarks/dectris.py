"""How fast a DECTRIS detector's stream passes through acquirer and recorder, and what an image costs the acquirer.

A stand-in for the detector sends images of 1 Mpixel as bslz4, over SIMPLON and stream v2, to a real acquirer with a
real recorder. The limit is a bare ZeroMQ relay in the acquirer's place, which hands each message on and looks at
nothing, into a receiver that throws it away: the same stand-in, the same machine, in turns. Then it is looked for the
highest rate that passes with nothing lost, downwards from the limit; what the acquirer may hold back is bounded, so
that the recorder has to keep pace.

The cost of an image is that of one of 10 MB: CPU time of the acquirer's loop, of its turns that bring one (what waits
in vain is no part of it), and of its whole process with ZeroMQ's copies to and from the network. A short series before
makes everything warm that is used for the first time. The receiver acks as a recorder does, so that keeping images and
letting go of them is part of it. It takes a quiet machine: with others at work, each turn finds its code and data gone
from the caches, and costs twice or three times as much. What the same images cost the loop of the bare relay stands
beside it: no acquirer in Python can be below that.

    uv run python benchmarks/dectris.py [--json] [--rounds 3] [--seconds 4] [--rate 2000]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import zmq
from harness import DEADLINE_S, Closing, Recorder, Remote, recorder, remote
from stand_in import IMAGES, stand_in
from stins_acquirers.backend import Frame, Opening
from stins_acquirers.dectris import EigerBackend, EigerSettings
from stins_acquirers.service import Service
from stins_acquirers.streams import Streams
from tqdm import tqdm

from stins import Ack
from stins.control import AcquirerStatus, ArmRequest, PrepareRequest, TriggerRequest
from stins.daemon import Ready, read_ready
from stins.daemon.client import DaemonClient
from stins.transport import AckSender, Publisher
from stins.transport.memory import keeping_memory

#: What may wait for the recorder: 0.4 s of 2,000 images/s. A larger one would hide that it doesn't keep pace.
_RING_BYTES = 128 << 20
_FLOOD_FRAMES = 4000
#: Slow enough that nothing is dropped on the way to a receiver that does nothing: 400 MB/s.
_LARGE_FRAMES, _WARM_FRAMES, _LARGE_RATE = 300, 20, 40.0
#: Downwards from the limit, in such steps.
_STEP, _LEAST = 0.05, 0.2
_QUEUE = 64
#: A recorder flushes as often.
_ACK_S = 0.2


def main() -> int:
    """Measures and prints a table, and JSON as the last line."""
    options = _arguments()
    progress = tqdm(total=2 * options.rounds + 2, unit="run", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="stins-dectris-") as folder:
        root = Path(folder)
        cost = _cost_of_an_image(options.frames)
        progress.update()
        with _chain(root) as chain:
            paced = chain.series(options.rate, options.seconds)
            progress.update()
            limits, rates = [], []
            for _ in range(options.rounds):
                limits.append(chain.limit())
                progress.update()
                rates.append(_highest(chain, limits[-1], options.seconds))
                progress.update()
    progress.close()
    report = {
        **cost,
        "frames_per_s": round(statistics.median(rates), 1),
        "limit_frames_per_s": round(statistics.median(limits), 1),
        "ratio": round(statistics.median(rate / limit for rate, limit in zip(rates, limits, strict=True)), 3),
        "frames_lost": paced["lost"],
        "asked_frames_per_s": options.rate,
        "got_frames_per_s": round(paced["rate"], 1),
        "image_bytes": len(IMAGES["1Mpixel"].blob(0)),
    }
    print("\n".join(f"{key:>36}  {value}" for key, value in report.items()))
    print(json.dumps(report))
    return 0


def _highest(chain: "Chain", limit: float, seconds: float) -> float:
    """The highest rate at which nothing is lost, and at which the recorder is done when the detector is."""
    share = 1.0
    while (share := share - _STEP) > _LEAST:
        run = chain.series(limit * share, seconds)
        if not run["lost"]:
            return run["rate"]
    raise SystemExit(f"frames are lost even at {_LEAST:.0%} of the limit, {limit:.0f} images/s")


class Chain:
    """Stand-in, acquirer and recorder; and the relay that is their limit."""

    def __init__(
        self, detector: Remote, acquirer: "Acquirer", recording: Recorder, limit: tuple[Remote, Remote]
    ) -> None:
        self._detector, self._acquirer, self._recording = detector, acquirer, recording
        self._relay, self._sink = limit
        self._count = 0

    def limit(self) -> float:
        """Images per second through the bare relay."""
        self._sink.tell(_FLOOD_FRAMES)
        self._relay.tell(_FLOOD_FRAMES)
        self._detector.tell("flood", _FLOOD_FRAMES, 0.0)
        began = float(self._detector.hear())
        ended, _ = self._sink.hear()
        self._relay.hear()
        return float(_FLOOD_FRAMES / (ended - began))

    def series(self, rate: float, seconds: float) -> dict[str, float]:
        """A series at that rate: how many images were lost, and how many a second are in the file."""
        self._count += 1
        name, frames = f"run-{self._count}.h5", max(100, round(rate * seconds))
        closing = Closing(self._recording.client, name, frames)
        self._recording.client.post(
            "/prepare", PrepareRequest(series_id=name, filename=name, frames_expected=frames), timeout_s=DEADLINE_S
        )
        self._detector.tell("rate", rate)
        self._acquirer.arm(name, name, frames)
        closing.wait("open")
        self._acquirer.start()
        began, _ = self._detector.hear()
        took = closing.wait("closed") - began
        closing.close()
        (self._recording.root / name).unlink()
        assert closing.series is not None
        return {"lost": frames - closing.series.written, "rate": frames / took}


@contextmanager
def _chain(root: Path) -> Iterator[Chain]:
    with remote("detector", stand_in, "1Mpixel") as detector:
        port, stream_port, bare = detector.hear()
        with (
            _acquirer(root, port, stream_port) as acquirer,
            recorder(root, acquirer.ready.streams[0], acquirer.ready.acks[0]) as recording,
            remote("relay", _relay, bare) as relay,
            remote("receiver", _throw_away, relay.hear(), None) as sink,
        ):
            sink.hear()
            yield Chain(detector, acquirer, recording, (relay, sink))


# -- the limit ----------------------------------------------------------------------------------


def _relay(pipe: Connection, endpoint: str) -> None:
    """Its own process: says where it hands on as many messages as it is told, uncopied; and its loop's CPU time."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    source, target = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    source.rcvhwm = target.sndhwm = _QUEUE
    target.bind("tcp://127.0.0.1:0")
    source.connect(endpoint)
    pipe.send(target.getsockopt_string(zmq.LAST_ENDPOINT))
    while True:
        (count,) = pipe.recv()
        began = time.thread_time()
        for _ in range(count):
            target.send(source.recv(copy=False), copy=False)
        pipe.send(time.thread_time() - began)


def _throw_away(pipe: Connection, endpoint: str, acks: str | None) -> None:
    """Its own process: takes as many messages as it is told (0: a series); says when it had the last, and how many.

    With `acks` it acks every `_ACK_S` all that it has.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket, acking = context.socket(zmq.PULL), _Acking(acks, context) if acks else None
    socket.rcvhwm = _QUEUE
    socket.connect(endpoint)
    pipe.send("ready")
    while True:
        (count,) = pipe.recv()
        taken = 0
        while taken != count or not count:
            if acking and not socket.poll(round(1000 * _ACK_S)):
                acking.say()
                continue
            head = socket.recv_multipart(copy=False)[0].bytes
            taken += 1
            ended = not count and b"series-end" in head[:200]
            if acking:
                acking.hear(head, now=ended)
            if ended:
                break
        pipe.send((time.monotonic(), taken))


class _Head(msgspec.Struct):
    message_type: str
    message_id: int
    series: dict[str, Any] | None = None


class _Acking:
    """Says how far it has come, as a recorder with each flush."""

    def __init__(self, endpoint: str, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        self._sender = AckSender([endpoint], context)
        self._ack, self._said = Ack(boot_id="benchmark", series_id=None, message_id=None), 0.0
        self.say()

    def hear(self, header: bytes, *, now: bool) -> None:
        """One message came; `now`: it is acked at once."""
        head = msgspec.json.decode(header, type=_Head)
        series_id = head.series["id"] if head.series else self._ack.series_id
        self._ack = Ack(boot_id="benchmark", series_id=series_id, message_id=head.message_id)
        if now or time.monotonic() - self._said > _ACK_S:
            self.say()

    def say(self) -> None:
        self._said = time.monotonic()
        self._sender.send(self._ack)


# -- the acquirer -------------------------------------------------------------------------------


class Acquirer:
    """A running acquirer."""

    def __init__(self, ready: Ready, client: DaemonClient[AcquirerStatus]) -> None:
        self.ready, self._client = ready, client

    def arm(self, series_id: str, filename: str | None, frames: int) -> None:
        """Arms one series."""
        request = ArmRequest(series_id=series_id, filename=filename, frames_per_trigger=frames)
        self._client.post("/arm", request, timeout_s=DEADLINE_S)

    def start(self) -> None:
        """Starts it."""
        self._client.post("/trigger", TriggerRequest(), timeout_s=DEADLINE_S)


@contextmanager
def _acquirer(root: Path, port: int, stream_port: int) -> Iterator[Acquirer]:
    config = root / f"acquirer-{port}.yaml"
    settings = {"host": "127.0.0.1", "http_port": port, "stream_port": stream_port, "compression": None}
    stream = {"ring_bytes": _RING_BYTES}
    config.write_text(json.dumps({"name": "eiger", "backend": "eiger", "settings": settings, "stream": stream}))
    command = [sys.executable, "-m", "stins.cli", "acquirer", "--config", str(config), "--log-level", "WARNING"]
    # As `stins up` starts it.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=keeping_memory(os.environ))
    try:
        assert process.stdout is not None
        ready = read_ready(process.stdout.readline())
        if ready is None:
            raise SystemExit("the acquirer did not start")
        client = DaemonClient("acquirer", ready.control, AcquirerStatus)
        yield Acquirer(ready, client)
        client.close()
    finally:
        process.terminate()
        process.wait(20)


# -- the cost of an image -----------------------------------------------------------------------


class _Timed(EigerBackend):
    """The backend, whose loop is timed: CPU time of each turn that has brought images, from one `read` to the next.

    The turn with the last image is left out: what comes behind it is the end of the series, and all that is done until
    the next one is armed.
    """

    def __init__(self, settings: EigerSettings) -> None:
        super().__init__(settings)
        self._began, self._brought = 0.0, 0
        self.images, self.cpu_s = 0, 0.0

    def arm(self, request: ArmRequest) -> Opening:
        """As the backend does."""
        self._brought = 0
        return super().arm(request)

    def read(self, timeout_s: float) -> Sequence[Frame]:
        """As the backend does."""
        ended = time.thread_time()
        if self._brought:
            self.images, self.cpu_s = self.images + self._brought, self.cpu_s + ended - self._began
        # What this costs itself, 5 us where the caches are empty, is none of the acquirer's.
        self._began = time.thread_time()
        frames = super().read(timeout_s)
        self._brought = len(frames)
        return frames


def _take_images(pipe: Connection, port: int, stream_port: int) -> None:
    """Its own process: an acquirer whose loop is timed. Says where its stream is; at last what the images have cost."""
    settings = EigerSettings(host="127.0.0.1", http_port=port, stream_port=stream_port, compression=None)
    backend = _Timed(settings)
    publisher = Publisher("tcp://127.0.0.1:0", acks="tcp://127.0.0.1:0", max_message_bytes=16 << 20)
    service = Service("eiger", "eiger", backend, Streams([publisher]), peer_timeout_s=DEADLINE_S)
    threading.Thread(target=service.run, daemon=True).start()
    pipe.send((publisher.endpoint, publisher.acks))
    while True:
        (frames,) = pipe.recv()
        service.arm(ArmRequest(series_id="cost", frames_per_trigger=frames))
        backend.images, backend.cpu_s, before = 0, 0.0, time.process_time()
        service.trigger(TriggerRequest())
        pipe.recv()
        pipe.send((backend.images, backend.cpu_s, time.process_time() - before))


def _cost_of_an_image(frames: int) -> dict[str, float]:
    """CPU time of the acquirer for each image of 10 MB, whose receiver throws it away."""
    # As `stins up` starts an acquirer.
    os.environ.update(keeping_memory(os.environ))
    with remote("detector", stand_in, "10MB") as detector:
        port, stream_port, bare = detector.hear()
        relay_s = _cost_of_relaying(detector, bare, frames)
        with (
            remote("acquirer", _take_images, port, stream_port) as acquirer,
            remote("receiver", _throw_away, *acquirer.hear()) as sink,
        ):
            sink.hear()
            for count in (_WARM_FRAMES, frames):
                sink.tell(0)
                detector.tell("rate", _LARGE_RATE)
                acquirer.tell(count)
                detector.hear()
                sink.hear()
                acquirer.tell("enough")
                images, loop_s, whole_s = acquirer.hear()
    loop, whole = 1000 * loop_s / images, 1000 * whole_s / images
    return {
        "acquirer_cpu_ms_per_image": round(loop, 4),
        "relay_cpu_ms_per_image": round(1000 * relay_s / frames, 4),
        "acquirer_process_cpu_ms_per_image": round(whole, 3),
    }


def _cost_of_relaying(detector: Remote, endpoint: str, frames: int) -> float:
    """CPU time of the bare relay's loop for as many of the same images at the same rate, in s."""
    with (
        remote("relay", _relay, endpoint) as relay,
        remote("receiver", _throw_away, relay.hear(), None) as sink,
    ):
        sink.hear()
        for count in (_WARM_FRAMES, frames):
            sink.tell(count)
            relay.tell(count)
            detector.tell("flood", count, _LARGE_RATE)
            detector.hear()
            sink.hear()
            spent = float(relay.hear())
        return spent


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="only for symmetry: the last line is JSON in any case")
    parser.add_argument("--rounds", type=int, default=3, help="how often limit and highest rate are found (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long a series lasts (default 4)")
    parser.add_argument("--rate", type=float, default=2000.0, help="images/s that are asked for first (default 2000)")
    parser.add_argument("--frames", type=int, default=_LARGE_FRAMES, help="images of 10 MB (default 300)")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where files go (default /dev/shm)")  # noqa: S108
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
