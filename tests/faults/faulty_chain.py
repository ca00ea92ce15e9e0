"""A sender and a recorder with the shim in its processes: what its calls do on the disk is up to the test."""

from pathlib import Path

import h5py
import numpy as np
from recorder_kit import DATA, Chain, image
from shim import FaultPage

from stins.control import RecorderState, RecorderStatus, SeriesStatus

__all__ = ["FaultyChain"]

#: What a process says that does not end as it should.
_CRASHES = ("Fatal Python error", "Segmentation fault", "Traceback (most recent call last)")


class FaultyChain(Chain):
    """Two roots, `bad` (where the journal is) and `good`; the page is armed for what is below `bad`."""

    def __init__(self, folder: Path, shim: Path, call_limit_s: float = 30.0) -> None:
        self.bad, self.good = folder / "bad", folder / "good"
        self.bad.mkdir()
        self.good.mkdir()
        self.page = FaultPage(folder / "page")
        environment = self.page.environment(shim)
        wrapper = ("env", *(f"{name}={environment[name]}" for name in ("LD_PRELOAD", "FAULT_PAGE")))
        self._shown = 0
        super().__init__(folder, wrapper, replay=True, roots=[str(self.bad), str(self.good)], call_limit_s=call_limit_s)

    def begin(self, name: str, frames: int = 0, **values: object) -> None:
        """Starts a series below `bad`, with so many frames flushed."""
        self.start(f"bad:{name}.h5", id=name, **values)
        self.frames(*range(frames))
        if frames:
            self.flushed(frames)

    def faulted(self) -> RecorderStatus:
        """The status once it is FAULT."""
        return self.serve(lambda status: status.state is RecorderState.FAULT)

    def record(self, root: str, name: str, frames: int = 5) -> SeriesStatus:
        """One series from start to end, and its account."""
        self.series(f"{root}:{name}.h5", range(frames), id=name, frames_expected=frames)
        return self.serve_to_end()

    def wrong_frames(self, path: Path, frames: int) -> list[int]:
        """Which of the first frames of a file are not what was sent."""
        try:
            file = h5py.File(path, "r")
        except OSError:  # its writer could not close it
            file = h5py.File(path, "r", libver="latest", swmr=True)
        with file:
            assert len(file[DATA]) >= frames
            return [n for n in range(frames) if not np.array_equal(file[DATA][n], image(n))]

    @property
    def crashes(self) -> list[str]:
        """Lines of the log that say that a process did not end as it should."""
        return [line for line in self.recorder.log.splitlines() if line.startswith(_CRASHES)]
