"""Plans for detectors that run by themselves. Their parameters are annotated, so that queueserver can use them."""

from .fly import fly_scan, fly_series
from .live import take_live
from .series import count_series, dark_series, flat_series

__all__ = ["count_series", "dark_series", "flat_series", "fly_scan", "fly_series", "take_live"]
