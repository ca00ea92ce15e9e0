"""Small numbers of one frame; and of a small frame that comes alone at once, where it is written."""

import logging
from typing import Any

import numpy as np

from stins import Data, Packet, StoreFrame
from stins.checks import part_bytes
from stins.control import Preview

from .decompress import pixels
from .masks import Counted, counted, counted_pixels

__all__ = ["SmallFrames", "frame_summary", "summary"]

log = logging.getLogger(__name__)

#: Pixels of 256 KiB take 0.1 ms; to hand them to another process, and to wait for its answer, takes 0.4.
_MOST_BYTES = 256 << 10
#: Frames that come faster are handed over: all time of the writer is theirs.
_PAUSE_S = 0.005


class SmallFrames:
    """What the writer itself says of uncompressed, small frames, a few at a time; it keeps the last series' masks."""

    def __init__(self) -> None:
        self._looked = 0.0
        self._masks: Packet | None = None
        self._counted: Counted = {}

    def look(self, frame: StoreFrame, now: float, masks: Packet | None) -> Preview | None:
        """The preview of a frame, or None: it is for others to look at."""
        parts = frame.header.data or ()
        plain = all(part.compression == "none" for part in parts)
        if now - self._looked < _PAUSE_S or not parts or not plain or sum(map(part_bytes, parts)) > _MOST_BYTES:
            return None
        self._looked = now
        try:
            if masks is not self._masks:
                self._masks, self._counted = masks, {} if masks is None else counted(masks)
            return frame_summary(frame.header, frame.packet, frame.row, self._counted)
        except Exception as error:  # whatever a frame holds, it is written all the same
            log.debug("frame %d: %s", frame.header.frame_number, error)
            return None


def frame_summary(header: Data, packet: Packet, row: int, masks: Counted) -> Preview:
    """The preview of a frame.

    Raises:
        RecorderError, OSError: its pixels cannot be decoded.
    """
    images = [
        counted_pixels(part, pixels(part, content), masks)
        for part, content in zip(header.data or (), packet.payload, strict=True)
    ]
    return summary(header.frame_number, row, images)


def summary(frame_number: int, row: int, images: "list[np.ndarray[Any, Any]]") -> Preview:
    """Total, maximum and mean of what counts of a frame's parts; of its finite pixels (JSON has no other numbers)."""
    images = [image[np.isfinite(image)] if image.dtype.kind == "f" else image for image in images]
    total = float(sum(image.sum(dtype=np.float64 if image.dtype.kind == "f" else None) for image in images))
    return Preview(
        frame_number=frame_number,
        row=row,
        total=total,
        maximum=float(max((image.max() for image in images if image.size), default=0.0)),
        mean=total / max(1, sum(image.size for image in images)),
    )
