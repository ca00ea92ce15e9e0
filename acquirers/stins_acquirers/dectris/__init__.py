"""DECTRIS detectors: what their DCU sends, as STINS."""

from .stream_v1 import StreamV1

__all__ = ["StreamV1"]
