"""One series, as it was armed: everything that its messages are made of."""

from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from .keys import Value
from .pool import Pool

__all__ = ["Image", "Series", "StreamFormat"]

StreamFormat = Literal["legacy", "cbor"]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What was set when the detector was armed. `config` is the whole of `detector/config`.

    `flatfields` and `pixel_masks` go by channel, shape [rows, columns]; `stream` is None where the stream is off.
    """

    number: int
    unique_id: str
    config: Mapping[str, Value]
    images_expected: int
    pool: Pool
    stream: StreamFormat | None
    header_detail: str
    header_appendix: Value
    flatfields: Mapping[str, NDArray[np.float32]]
    pixel_masks: Mapping[str, NDArray[np.uint32]]
    countrate_table: NDArray[np.float32]
    armed: str
    """Date and time of arming, ISO 8601 with time zone."""
    armed_ns: int
    """The same moment on the monotonic clock: what start times count from."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One image of a series: in ns when it began and ended on the monotonic clock, and how long it counted."""

    number: int
    start_ns: int
    stop_ns: int
    real_ns: int
    appendix: Value
