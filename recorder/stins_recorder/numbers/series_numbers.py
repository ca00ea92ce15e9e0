"""The numbers of one series: frames in, columns out."""

from pathlib import Path

import numpy as np

from stins.numbers import names_of

from ..errors import RecorderError
from ..series.asked import numbers_file
from ..storage import HDF5_ERRORS
from ..storage.columns import Numbers
from .frames import Frames
from .messages import Done, Work, kept_rows
from .reading import NotNowError, UnreadableError
from .reduce import reduce_frames
from .sidecar import Sidecar, finished_rows

__all__ = ["SeriesNumbers"]

_MOST_ROWS = 4096


class SeriesNumbers:
    """Open as long as it is the series at hand. Every method raises what h5py raises, or a `RecorderError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._frames = Frames(path)
        self._names = names_of(self._frames.asked.request)
        self._sidecar: Sidecar | None = None

    def advance(self, work: Work) -> Done:
        """Computes a batch of what there is to compute."""
        if self._sidecar is None:
            path = numbers_file(self.path)
            if work.over and finished_rows(path, self._frames.asked) == work.rows:
                # A recorder that is started anew asks after the series that was its last.
                return Done(file=str(self.path), rows=work.rows, generation=work.generation, complete=True)
            self._sidecar = Sidecar(path, self._frames.asked)
        sidecar = self._sidecar
        kept = kept_rows(sidecar.rows, sidecar.generation, work.generation, work.rewound_to)
        sidecar.rewind(min(kept, work.rows) if work.over else kept, work.generation)
        values: dict[str, Numbers] = {}
        size = 0
        if sidecar.rows < work.rows:
            values, size = self._batch(work, sidecar.rows)
            sidecar.put(values)
        complete = work.over and sidecar.rows == work.rows
        if complete:
            sidecar.finish()
        last = {name: float(column[-1]) for name, column in values.items() if np.isfinite(column[-1])}
        return Done(
            file=str(self.path),
            rows=sidecar.rows,
            generation=sidecar.generation,
            values=last,
            complete=complete,
            size_bytes=size,
        )

    def _batch(self, work: Work, first: int) -> tuple[dict[str, Numbers], int]:
        """The numbers of some rows from the first on, and how many bytes these are."""
        last = min(work.rows, first + (work.most or _MOST_ROWS))
        if work.skip:
            return {name: np.full(last - first, np.nan) for name in self._names}, 0
        try:
            batch = self._frames.read(first, last, over=work.over)
        except NotNowError:
            raise
        except (*HDF5_ERRORS, RecorderError) as error:
            raise UnreadableError(str(error) or repr(error)) from error
        values = {name: np.full(len(batch.holds_frame), np.nan) for name in self._names}
        for channel, pixels in batch.images.items():
            values |= reduce_frames(pixels, self._frames.asked.request, batch.counted[channel], channel)
        for column in values.values():
            column[~batch.holds_frame] = np.nan
        return values, batch.size_bytes

    def close(self) -> None:
        """Closes its file. Closing twice does no harm."""
        if self._sidecar is not None:
            self._sidecar.close()
