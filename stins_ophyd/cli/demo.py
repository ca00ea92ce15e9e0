"""`stins demo`: the main job, on this machine, with nothing to set up."""

import argparse
import json
import logging
import os
import time
import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stins import StinsError

if TYPE_CHECKING:
    from ..demo import Verified


__all__ = ["main"]

_POINTS = 5
_FRAMES = 100

_DESCRIPTION = """\
Starts an acquirer and a recorder, runs a scan and a fly series in a Bluesky RunEngine (of a capture: one series),
reads every frame back through an embedded catalogue and compares it with what was sent. Ends all it started."""
_EPILOG = """\
examples:
  stins demo                                      with a simulated detector
  stins demo --capture eiger1-1M-stream-v1.zip    with a captured stream, which has the frames that it has
  stins demo --json                               for a program: one JSON object as the last line

exit status: 0 every frame came back bit-identical, 1 one did not, 2 wrong usage or a process that did not start"""


def main(argv: list[str]) -> int:
    """Runs the demo; 0 only if every frame came back bit-identical."""
    options = _parser().parse_args(argv)
    _check(options)
    logging.basicConfig(level="WARNING")
    logging.disable(logging.INFO)  # Tiled greets at this level, whatever is set
    # A capture that ends too early fails its plan; what failed is in the report, not in a traceback.
    logging.getLogger("bluesky").setLevel("CRITICAL")
    warnings.filterwarnings("ignore", module=r"(tiled|bluesky|ophyd|databroker)\b")  # theirs, and nothing to act on
    started = time.monotonic()
    folder = _make_folder(options.folder)
    _say(f"stins demo: everything below {folder}")
    # Here, not above: Bluesky, ophyd and matplotlib take seconds, which whoever typed a wrong option need not wait.
    from ..demo import chain, detector_config
    from ..picture import save_picture

    config = detector_config(options.capture, options.recorders, frames_per_file=options.frames_per_file)
    with chain(folder, config, _say) as running:
        runs = [] if options.capture else [running.scan(_POINTS)]
        runs.append(running.fly(options.frames or _FRAMES))
    main_run = runs[-1]
    picture = folder / "frame.png"
    save_picture(main_run.first, picture, f"{main_run.plan}: frame 0 of {Path(main_run.file).name}")
    seconds = time.monotonic() - started
    _report(runs, folder, picture, seconds)
    if options.json:
        print(json.dumps(_summary(runs, picture, seconds)))
    return 0 if all(run.identical for run in runs) else 1


def _check(options: argparse.Namespace) -> None:
    if options.capture and not options.capture.is_file():
        raise StinsError(f"--capture: no file {options.capture}")
    if options.capture and options.frames is not None:
        raise StinsError("--frames: a capture has the frames that it has; leave this option out with --capture")
    if options.frames is not None and options.frames < 1:
        raise StinsError(f"--frames: got {options.frames}, expected at least 1")
    if options.recorders < 1:
        raise StinsError(f"--recorders: got {options.recorders}, expected at least 1")
    if options.frames_per_file is not None and options.frames_per_file < 1:
        raise StinsError(f"--frames-per-file: got {options.frames_per_file}, expected at least 1")


def _make_folder(wanted: Path | None) -> Path:
    folder = (wanted or Path("stins-demo") / f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}").absolute()
    try:
        folder.mkdir(parents=True, exist_ok=False)
    except OSError as error:
        raise StinsError(f"--folder: {folder} cannot be made: {error.strerror}; name a new folder") from error
    return folder


def _report(runs: "list[Verified]", folder: Path, picture: Path, seconds: float) -> None:
    for run in runs:
        said = "every frame" if run.identical else "NOT every frame"
        counts = f"{run.frames_sent} sent, {run.frames} read back, {run.frames_identical} bit-identical"
        _say("")
        _say(f"{run.plan}: series {run.state.upper()}{f': {run.reason}' if run.reason else ''}")
        _say(f"  frames     {counts}: {said} came back as it was sent")
        _say(f"  run        {run.run_uid}")
        _say(f"  file       {run.file}")
    last = runs[-1]
    _say("")
    _say(f"picture      {picture}")
    _say(f"look at it   uv run silx view {last.file}")
    _say("in Python    import h5py, hdf5plugin; h5py.File(FILE)['/entry/data/data'][0]")
    _say(f"by run uid   from stins_ophyd import open_catalog; c = open_catalog({str(folder / 'catalogue')!r},")
    _say(f"             readable=[{str(folder / 'data')!r}]); c[{last.run_uid[:8]!r}]['primary']['sim_image'][0]")
    _say(f"all processes have ended; {seconds:.1f} s")


def _summary(runs: "list[Verified]", picture: Path, seconds: float) -> dict[str, object]:
    """The last run (the fly series) on top; every run in `runs`."""

    def one(run: "Verified") -> dict[str, object]:
        keys = ("run_uid", "file", "frames_sent", "frames", "frames_identical")
        return {**{key: getattr(run, key) for key in keys}, "state": run.state, "reason": run.reason}

    return {
        **one(runs[-1]),
        "picture": str(picture),
        "seconds": round(seconds, 1),
        "runs": [{"plan": run.plan, **one(run)} for run in runs],
    }


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stins demo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--capture", type=Path, metavar="FILE", help="replay a captured stream instead of simulating")
    parser.add_argument("--frames", type=int, metavar="N", help=f"frames of the fly series (default {_FRAMES})")
    parser.add_argument("--recorders", type=int, default=1, metavar="N", help="how many share the frames (default 1)")
    parser.add_argument("--frames-per-file", type=int, metavar="N", help="frames in a data file (default: one file)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="a new folder for data, catalogue and messages")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser
