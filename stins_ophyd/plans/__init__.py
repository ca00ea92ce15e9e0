"""Plans for detectors that run by themselves. Their parameters are annotated, so that queueserver can use them."""

from .fly import fly_scan, fly_series
from .live import take_live
from .series import count_series, dark_series, flat_series
from .stubs import collect_rest, fly_prepared, fly_run, prepare_flight
from .support import settings_wrapper

__all__ = [
    "collect_rest",
    "count_series",
    "dark_series",
    "flat_series",
    "fly_prepared",
    "fly_run",
    "fly_scan",
    "fly_series",
    "prepare_flight",
    "settings_wrapper",
    "take_live",
]
