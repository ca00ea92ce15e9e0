"""What somebody at an IPython prompt or in a notebook types: `%stins`, `%last`, `%frame`.

`%load_ext stins_ophyd.magics`; the profile does that.
"""

import atexit
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # registers the filters
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.display import Image, display

from stins import StinsError
from stins.control import SeriesStatus

from .cli import status
from .device import StinsDetector
from .picture import picture_of
from .session import Session

__all__ = ["StinsMagics", "load_ipython_extension"]


@magics_class
class StinsMagics(Magics):
    """Magics for the detectors that have a name at the prompt."""

    #: Where the pictures are that cannot be shown: the last one of each detector, as long as the session lives.
    _folder: "TemporaryDirectory[str] | None" = None

    @line_magic
    def stins(self, line: str) -> None:
        """`%stins [NAME]`: the processes of the beamlines that run here, as `stins status` shows them."""
        try:
            status.main(line.split())
        except StinsError as error:
            raise UsageError(str(error)) from error

    @line_magic
    def last(self, line: str) -> None:
        """`%last [DETECTOR]`: state, frames, rate and file of a detector's last series; of all without a name."""
        named = line.split()
        for detector in [self._detector(named)] if named else self._detectors().values():
            print(detector.controller.summary.text(detector.name))

    @line_magic
    def frame(self, line: str) -> None:
        """`%frame [DETECTOR] [N]`: a picture of row N of the last file (the last row; -2 is the one before).

        In a notebook it is shown; at a prompt without one its file is named, which goes with the session.
        """
        words = line.split()
        row = _row(words.pop()) if len(words) > 1 or (words and _is_row(words[0])) else -1
        detector = self._detector(words)
        series = _recorded(detector)
        frame, number = _read(series, row)
        file = Path(series.file or "").name
        self._show(picture_of(frame, f"{detector.name}: frame {number}\n{file}"), detector.name)

    def _show(self, png: bytes, name: str) -> None:
        if hasattr(self.shell, "kernel"):
            display(Image(png, format="png"))
            return
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="stins-frames-")
            atexit.register(self._folder.cleanup)
        path = Path(self._folder.name) / f"{name}.png"
        path.write_bytes(png)
        print(path)

    def _detector(self, words: list[str]) -> StinsDetector:
        detectors = self._detectors()
        if not words and len(detectors) == 1:
            return next(iter(detectors.values()))
        if len(words) != 1 or words[0] not in detectors:
            there = ", ".join(detectors) or "none; open_session gives them"
            raise UsageError(f"got {' '.join(words)!r}, expected one of the detectors: {there}")
        return detectors[words[0]]

    def _detectors(self) -> dict[str, StinsDetector]:
        named = list(self.shell.user_ns.values()) if self.shell else []
        # In a notebook they may stand in their session only.
        sessions = [each.detectors.values() for each in named if isinstance(each, Session)]
        return {each.name: each for each in chain(named, *sessions) if isinstance(each, StinsDetector)}


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext`."""
    shell.register_magics(StinsMagics)


def _is_row(word: str) -> bool:
    return word.removeprefix("-").isdecimal()


def _row(word: str) -> int:
    if not _is_row(word):
        raise UsageError(f"row: got {word!r}, expected a whole number; -1 is the last one")
    return int(word)


def _recorded(detector: StinsDetector) -> SeriesStatus:
    """The detector's present or last series, where rows of it are in a file."""
    snapshot = detector.controller.snapshot
    series = snapshot.recorder.series if snapshot.recorder else None
    if series is None or (series.file and not series.rows):
        why = "no frame is in a file yet"
    elif not series.file:
        why = "the last series was not recorded: it has no file"
    else:
        return series
    raise UsageError(f"{detector.name}: {why}; take a frame: RE(count([{detector.name}]))")


def _read(series: SeriesStatus, row: int) -> tuple[Any, int]:
    """One row of the series' file, which may be open still, and the number of its frame."""
    if not -series.rows <= row < series.rows:
        raise UsageError(f"got row {row}, expected -{series.rows} to {series.rows - 1}: {series.rows} are in the file")
    row %= series.rows
    try:
        with h5py.File(series.file, "r", swmr=True) as file:
            number = file["/entry/instrument/detector/sequence_number"][row]
            return file[series.dataset][row], int(number)
    except OSError as error:
        raise UsageError(f"{series.file}: {error}; is it on this machine?") from error
