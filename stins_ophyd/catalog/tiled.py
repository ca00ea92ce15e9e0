"""Tiled is imported when it is needed: that takes seconds, and it need not be installed."""

from importlib import import_module
from typing import Any

from stins import StinsError

__all__ = ["with_tiled"]


def with_tiled(module: str, extra: str = "tiled") -> Any:
    """A module of this package that cannot be imported without Tiled.

    Raises:
        StinsError: something that it needs is not installed.
    """
    try:
        return import_module(f".{module}", __package__)
    except ImportError as error:
        needed = (error.name or "").partition(".")[0]
        raise StinsError(f"the catalogue needs {needed}; install it: pip install 'stins-ophyd[{extra}]'") from error
