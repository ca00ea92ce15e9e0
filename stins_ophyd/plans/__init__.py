"""Plans for detectors that run by themselves. Their parameters are annotated, so that queueserver can use them."""

from .fly import fly_series

__all__ = ["fly_series"]
