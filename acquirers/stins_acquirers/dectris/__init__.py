"""DECTRIS detectors: what their DCU sends, as STINS."""

from .backend import EigerBackend
from .settings import EigerSettings
from .stream_v1 import StreamV1
from .stream_v2 import StreamV2

__all__ = ["EigerBackend", "EigerSettings", "StreamV1", "StreamV2"]
