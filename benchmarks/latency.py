"""How long things take that somebody waits for: the first frame readable, the file closed and durable, ARMED.

`close_ms` is mostly the disk's, for what came in the last half second or so and was not forced to it yet; it depends on
where in that time the series ends. `close_forced_ms` is the same where the disk has everything: the recorder's part.
Compare two versions in turns.

uv run python benchmarks/latency.py [--json] [--rounds 15]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import h5py
from cases import CASES
from harness import Closing, Recorder, Remote, recorder, remote, sender
from tqdm import tqdm

from stins.control import AcquirerStatus
from stins.daemon.client import DaemonClient
from stins_ophyd.controller import Controller
from stins_ophyd.processes import DaemonProcess

_DATA = "/entry/instrument/detector/data"
_SEQUENCE = "/entry/instrument/detector/sequence_number"
_FRAMES_TO_CLOSE = 10_000
_POLL_S = 0.001


def main() -> int:
    """Measures and prints a table, and JSON as the last line."""
    options = _arguments()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="stins-latency-") as folder:
        root = Path(folder)
        with (
            sender(("recorder",)) as (sending, links),
            recorder(root, *links["recorder"]) as recording,
            remote("reader", _read) as reader,
        ):
            first = [_first(sending, recording, reader, n) for n in tqdm(range(options.rounds), desc="first frame")]
            closed, forced = (
                [_close(sending, recording, n, options.rate, end) for n in tqdm(range(options.rounds), desc=what)]
                for what, end in (("close", "settled"), ("close, forced", "held"))
            )
        arm = _arm(root, options.rounds)
    report = {
        "first_frame_readable_ms": _milliseconds(first),
        "close_ms": _milliseconds(closed),
        "close_forced_ms": _milliseconds(forced),
        "arm_ms": _milliseconds(arm),
        "frames_to_close": _FRAMES_TO_CLOSE,
        "rate": options.rate,
    }
    print("\n".join(f"{key:>24}  {value}" for key, value in report.items()))
    print(json.dumps(report))
    return 0


def _milliseconds(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 1)


def _first(sending: Remote, recording: Recorder, reader: Remote, number: int) -> float:
    """A series of 200 frames at 100 Hz: from the first frame's sending until another process has read it."""
    name = f"first-{number}.h5"
    closing = Closing(recording.client, name, 200)
    sending.tell("recorder", "512KiB", 200, name, 100.0)
    closing.wait("open")
    reader.tell(str(recording.root / name))
    reader.hear()
    sending.tell("go")
    began = float(sending.hear())
    read = float(reader.hear())
    sending.hear()
    closing.wait("durable")
    closing.close()
    (recording.root / name).unlink()
    return read - began


def _read(pipe: Connection) -> None:
    """Its own process: says when the first frame of a file can be read."""
    while True:
        (path,) = pipe.recv()
        pipe.send("ready")
        while not _readable(path):
            time.sleep(_POLL_S)
        pipe.send(time.monotonic())


def _readable(path: str) -> bool:
    try:
        with h5py.File(path, "r", swmr=True, locking=False) as file:
            return len(file[_SEQUENCE]) > 0 and file[_DATA][0].any()
    except (OSError, KeyError):
        return False


def _close(sending: Remote, recording: Recorder, number: int, rate: float | None, end: str) -> float:
    """From the series-end until the file is closed and fsynced.

    The series-end is sent when all frames are flushed: with frames as fast as they are taken it would else wait behind
    those that the sender is ahead by; `end` is "held": when they are forced to the disk, too.
    """
    name = f"close-{end}-{number}.h5"
    closing = Closing(recording.client, name, _FRAMES_TO_CLOSE)
    sending.tell("recorder", "32KiB", _FRAMES_TO_CLOSE, name, rate, end)
    closing.wait("open")
    sending.tell("go")
    sending.hear()
    if end == "held":
        closing.wait("forced")
        sending.tell("end")
    ended = float(sending.hear())
    durable = closing.wait("durable")
    closing.close()
    (recording.root / name).unlink()
    return durable - ended


def _arm(root: Path, rounds: int) -> list[float]:
    """From the call of `arm` until the controller says ARMED, everything over HTTP on loopback."""
    simulated = {"name": "simulated", "backend": "simulated", "settings": {"shape": [512, 512]}}
    with DaemonProcess("acquirer", simulated, folder=root) as sending:
        client = DaemonClient("acquirer", sending.ready.control, AcquirerStatus)
        status = client.status()
        client.close()
        settings = {"roots": [str(root)], "sources": list(status.streams), "acks": list(status.acks)}
        with (
            DaemonProcess("recorder", settings, folder=root) as recording,
            Controller(sending.ready.control, recording.ready.control) as controller,
        ):
            return [_arm_once(controller, n) for n in tqdm(range(rounds), desc="arm")]


def _arm_once(controller: Controller, number: int) -> float:
    began = time.monotonic()
    controller.arm(f"arm-{number}.h5", trigger_mode="software", triggers=None)
    armed = time.monotonic()
    controller.disarm()
    return armed - began


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="only for symmetry: the last line is JSON in any case")
    parser.add_argument("--rounds", type=int, default=15, help="rounds (default 15)")
    parser.add_argument("--rate", type=float, default=None, help="frames/s of the series that is closed (default: all)")
    parser.add_argument("--folder", type=Path, default=Path(), help="where to record (default: here)")
    return parser.parse_args()


if __name__ == "__main__":
    assert set(CASES) >= {"32KiB", "512KiB"}
    sys.exit(main())
