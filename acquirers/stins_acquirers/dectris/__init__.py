"""DECTRIS detectors: what their DCU sends, as STINS.

Names are loaded when they are first used: the HTTP client of a DCU is half of what loading the EIGER's backend takes,
and a replay or a PILATUS has no use for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend import EigerBackend
    from .settings import EigerSettings
    from .stream_v1 import StreamV1
    from .stream_v2 import StreamV2

__all__ = ["EigerBackend", "EigerSettings", "StreamV1", "StreamV2"]

_HOME = {"EigerBackend": "backend", "EigerSettings": "settings", "StreamV1": "stream_v1", "StreamV2": "stream_v2"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
