"""The monitor: some of the latest images, kept for a look at them."""

import threading
from collections import deque

import numpy as np

from stins import Part

from ...bitshuffle import decode_part
from .darray import to_tiff
from .keys import RefusedError
from .pool import Pool
from .settings import Settings

__all__ = ["Monitor"]

_FIRST = 0
_NO_IMAGE = 408


class Monitor:
    """Images come from the readout's thread and are asked for by others."""

    def __init__(self, settings: Settings) -> None:
        self._table = settings.monitor
        self._images: deque[tuple[Pool, int]] = deque()
        self._arrived = threading.Condition()
        self._over = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._images)

    def put(self, pool: Pool, number: int) -> None:
        """Keeps an image, while the monitor is enabled."""
        values = self._table.values
        if values["mode"] != "enabled":
            return
        with self._arrived:
            if len(self._images) >= values["buffer_size"]:
                self.dropped += 1
                if values["discard_new"]:
                    return
                self._images.popleft()
            self._images.append((pool, number))
            self._arrived.notify_all()

    def latest(self) -> bytes:
        """The latest image as TIFF, which stays where it is."""
        with self._arrived:
            if not self._images:
                raise RefusedError("monitor: no image", _NO_IMAGE)
            pool, number = self._images[-1]
        return _tiff(pool, number)

    def take(self, timeout_s: float) -> bytes:
        """The oldest image as TIFF, which is gone then; waits for it."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._images or self._over, timeout_s)
            if not self._images:
                raise RefusedError(f"monitor: no image within {timeout_s:g} s", _NO_IMAGE)
            pool, number = self._images.popleft()
        return _tiff(pool, number)

    def stop(self) -> None:
        """Nobody waits for an image any more."""
        with self._arrived:
            self._over = True
            self._arrived.notify_all()

    def initialize(self) -> None:
        """Everything as after power-up."""
        self._table.reset()
        self.clear()

    def clear(self) -> None:
        """Forgets all images."""
        with self._arrived:
            self._images.clear()
            self.dropped = 0


def _tiff(pool: Pool, number: int) -> bytes:
    blob = pool.images[number % len(pool.images)][_FIRST]
    part = Part(name="image", shape=pool.shape, dtype=pool.dtype, compression=pool.compression)
    return to_tiff(np.ascontiguousarray(decode_part(part, blob.content)))
