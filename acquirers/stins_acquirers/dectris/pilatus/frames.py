"""Makes frames of images: when they were taken, and what is said of each."""

import time
from datetime import datetime
from typing import Any, Final

from msgspec import UNSET, UnsetType

from ...backend import Frame
from .exposing import Exposing
from .image import Image, image_part
from .plan import Plan
from .settings import PilatusSettings

__all__ = ["FRAME_UNITS", "FrameMaker"]

#: Units of the numbers that come with each frame.
FRAME_UNITS: Final = {"folder_free": "byte"}


class FrameMaker:
    """The frames of one series, which is armed now."""

    def __init__(self, plan: Plan, settings: PilatusSettings, shape: tuple[int, int]) -> None:
        self.part = image_part(shape, settings.compression)
        self._plan = plan
        self._armed = time.monotonic()
        self._first: tuple[float, datetime] | None = None

    def frame(
        self,
        number: int,
        image: Image,
        payload: memoryview,
        exposing: Exposing,
        *,
        dropped: tuple[tuple[int, int], ...],
        folder_free: int,
    ) -> Frame:
        """One frame; the first says everything that the detector says of it, since only numbers fit a column."""
        timestamp, began_ns = self._external(image) if self._plan.external else self._by_command(number, exposing)
        numbers: dict[str, Any] = {"folder_free": folder_free}
        if number == 0:
            numbers["cbf_header"] = image.remarks
        return Frame(
            number=number,
            parts=(self.part,),
            payload=(payload,),
            timestamp=timestamp,
            acquisition_timestamp=began_ns,
            frames_dropped=dropped,
            detector_specific=numbers,
        )

    def _by_command(self, number: int, exposing: Exposing) -> tuple[float, int]:
        """The detector's clock keeps the period; when it began is known to a millisecond."""
        since_s = (number - exposing.first) * self._plan.frame_s
        return exposing.began - self._armed + since_s, exposing.began_ns + round(since_s * 1e9)

    def _external(self, image: Image) -> tuple[float | UnsetType, int | UnsetType]:
        """By the clock of the detector's computer, which says no time zone: it is taken to be in this one's."""
        if image.began is None:
            return UNSET, UNSET
        if self._first is None:
            self._first = (time.monotonic() - self._armed - self._plan.first_s, image.began)
        seen_s, first = self._first
        return seen_s + (image.began - first).total_seconds(), round(image.began.astimezone().timestamp() * 1e6) * 1000
