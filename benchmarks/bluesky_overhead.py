"""What a point costs beside its exposure, and how soon Bluesky hears of the frames of a fast series.

In one RunEngine, taking turns: `count` with our simulated detector (acquirer and recorder are processes, and the frame
of each point is flushed to a file), with ophyd.sim's detector (a number, no file), with that of ophyd-async
that writes HDF5 in this process, and with ours while a catalogue writes the run. The time of a point is that from one
event document to the next, without the exposure; so the first point, which arms, is not in it. Medians of all rounds.

Then `fly_series`, while another process reads by SWMR how many frames are flushed. The lag of a frame is the time from
its flush to the document that points at it (too long by the 5 ms between two looks, at most).

    uv run python benchmarks/bluesky_overhead.py [--json] [--rounds 5] [--points 50] [--frames 10000]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from bluesky.plans import count
from flush_watch import FlushWatch, flush_watch
from ophyd.sim import SynGauss, motor
from tqdm import tqdm

from stins_ophyd import Beamline, StinsDetector, fly_series, open_catalog, record_runs
from stins_ophyd.beamline import BeamlineConfig, DetectorConfig

_EXPOSURE_S = 0.01
#: Frames of the shape that ophyd-async's detector has.
_SETTINGS = {"shape": [240, 320], "dtype": "uint8", "exposure_s": _EXPOSURE_S, "period_s": _EXPOSURE_S}
_FLY_SHAPE = [128, 128]
#: A run's last work (a file that is closed, a catalogue that is written) is not to be in the next run's times.
_PAUSE_S = 0.3


def main() -> int:
    """Measures and prints a table, and JSON as the last line."""
    options = _arguments()
    with (
        tempfile.TemporaryDirectory(dir=options.folder, prefix="stins-bluesky-") as folder,
        flush_watch() as watch,
        _detector(Path(folder)) as detector,
    ):
        engine = RunEngine({})
        variants = _variants(engine, detector, Path(folder), options.without)
        report = _report(_count(engine, variants, options))
        report |= _fly(engine, detector, watch, options)
    print("\n".join(f"{key:>28}  {value}" for key, value in report.items()))
    print(json.dumps(report))
    return 0


def _report(points: dict[str, list[float]]) -> dict[str, float]:
    medians = {name: 1000 * statistics.median(seconds) for name, seconds in points.items()}
    report = {f"{name}_ms_per_point": round(median, 2) for name, median in medians.items()}
    report["excess_ms"] = round(medians["stins"] - medians["ophyd_sim"], 2)
    if "with_writer" in medians:
        exposure_ms = 1000 * _EXPOSURE_S
        report["writer_ratio"] = round((medians["with_writer"] + exposure_ms) / (medians["stins"] + exposure_ms), 3)
        report["writer_ratio_beside_exposure"] = round(medians["with_writer"] / medians["stins"], 3)
    return report


@contextmanager
def _detector(folder: Path) -> Iterator[StinsDetector]:
    """Our detector, whose processes everything is switched on in that is by default."""
    config = DetectorConfig(acquirer={"backend": "simulated", "settings": _SETTINGS})
    with Beamline(BeamlineConfig(data=folder / "data", detectors={"stins": config}), folder / "log") as beamline:
        detector = StinsDetector(name="stins", controller=beamline.detectors["stins"].controller())
        yield detector
        detector.destroy()


# -- points -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Variant:
    """A detector that is counted with; `began` is called before its runs and returns what ends that."""

    detector: Any
    began: Callable[[], Callable[[], None]] = lambda: lambda: None


def _variants(engine: RunEngine, detector: StinsDetector, folder: Path, without: list[str]) -> dict[str, _Variant]:
    simulated = SynGauss("sim", motor, "motor", center=0, Imax=1)
    simulated.exposure_time = _EXPOSURE_S
    variants = {"stins": _Variant(detector), "ophyd_sim": _Variant(simulated)}
    if "ophyd-async" not in without:
        variants["ophyd_async"] = _Variant(_blobs(folder))
    if "writer" not in without:
        catalog = open_catalog(folder / "catalogue", readable=[folder / "data"])
        variants["with_writer"] = _Variant(
            detector, lambda: record_runs(engine, catalog, folder / "unsent-documents").stop
        )
    return variants


def _blobs(folder: Path) -> Any:
    """The simulated detector of ophyd-async, connected in the RunEngine's loop."""
    from ophyd_async.core import StaticPathProvider, UUIDFilenameProvider, init_devices
    from ophyd_async.sim import SimBlobDetector

    with init_devices():
        blobs = SimBlobDetector(StaticPathProvider(UUIDFilenameProvider(), folder))
    # Its period is 0.2 s else; trigger() leaves what is set.
    blobs.pattern_generator.setup_acquisition_parameters(_EXPOSURE_S, _EXPOSURE_S, 1)
    return blobs


def _count(engine: RunEngine, variants: dict[str, _Variant], options: argparse.Namespace) -> dict[str, list[float]]:
    """The seconds of each point beside its exposure, by variant; a short round goes before, to warm up."""
    points: dict[str, list[float]] = {name: [] for name in variants}
    for number in tqdm(range(options.rounds + 1), unit="round"):
        for name, variant in variants.items():
            if number == 0:
                _points(engine, variant, 3)
            else:
                points[name] += _points(engine, variant, options.points)
    return points


def _points(engine: RunEngine, variant: _Variant, number: int) -> list[float]:
    at: list[float] = []
    end = variant.began()
    token = engine.subscribe(lambda *_: at.append(time.perf_counter()), "event")
    engine(count([variant.detector], number))
    engine.unsubscribe(token)
    end()
    time.sleep(_PAUSE_S)
    return [after - before - _EXPOSURE_S for before, after in pairwise(at)]


# -- a fast series ------------------------------------------------------------------------------


def _fly(
    engine: RunEngine, detector: StinsDetector, watch: FlushWatch, options: argparse.Namespace
) -> dict[str, float]:
    """The lags of all frames of some series; and the rate that they came at."""
    period_s = 1 / options.rate
    detector.apply({"shape": _FLY_SHAPE, "exposure_s": period_s / 2, "period_s": period_s})
    lags: list[float] = []
    rates: list[float] = []
    for _ in tqdm(range(options.rounds), unit="series"):
        flushed, told = _series(engine, detector, watch, options.frames)
        lags += _lags(flushed, told, options.frames)
        rates.append((flushed[-1][1] - flushed[0][1]) / (flushed[-1][0] - flushed[0][0]))
    return {
        "fly_frames": options.frames,
        "fly_rate": round(statistics.median(rates), 1),
        "fly_lag_max_s": round(max(lags), 3),
        "fly_lag_median_s": round(statistics.median(lags), 3),
    }


_Counts = list[tuple[float, int]]


def _series(engine: RunEngine, detector: StinsDetector, watch: FlushWatch, frames: int) -> tuple[_Counts, _Counts]:
    """When how many frames were flushed, and when documents had told of how many."""
    told: _Counts = []
    tokens = [
        engine.subscribe(lambda *_: watch.begin(_file_of(detector), frames), "descriptor"),
        engine.subscribe(lambda _, doc: told.append((time.monotonic(), doc["indices"]["stop"])), "stream_datum"),
    ]
    with redirect_stdout(sys.stderr):  # it says how it ended
        engine(fly_series(detector, frames))
    for token in tokens:
        engine.unsubscribe(token)
    flushed = watch.looks()
    Path(_file_of(detector)).unlink()
    return flushed, told


def _file_of(detector: StinsDetector) -> str:
    recorder = detector.controller.snapshot.recorder
    assert recorder is not None
    assert recorder.series is not None
    return recorder.series.file or ""


def _lags(flushed: _Counts, told: _Counts, frames: int) -> list[float]:
    """Of each frame: from the last look that did not show it to the first document that points at it."""
    looks, documents = [count for _, count in flushed], [count for _, count in told]
    return [
        told[bisect_right(documents, frame)][0] - flushed[max(bisect_right(looks, frame) - 1, 0)][0]
        for frame in range(frames)
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="only for symmetry: the last line is JSON in any case")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, and fast series (default 5)")
    parser.add_argument("--points", type=int, default=50, help="points of a count (default 50)")
    parser.add_argument("--frames", type=int, default=10_000, help="frames of a fast series (default 10000)")
    parser.add_argument("--rate", type=float, default=2000.0, help="its frames per second (default 2000)")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where to record")  # noqa: S108
    parser.add_argument(
        "--without", nargs="*", default=[], choices=["ophyd-async", "writer"], help="what is not to be measured"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
