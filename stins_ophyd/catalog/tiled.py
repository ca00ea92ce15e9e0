"""Tiled is imported when it is needed: that takes seconds, and it need not be installed."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from stins import StinsError

__all__ = ["quiet_tiled", "with_tiled"]


@contextmanager
def quiet_tiled() -> Iterator[None]:
    """Without what Tiled's own use of a library makes that warn of: nobody here could act on it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using `httpx` with")
        yield


def with_tiled(module: str, extra: str = "tiled") -> Any:
    """A module of this package that cannot be imported without Tiled.

    Raises:
        StinsError: something that it needs is not installed.
    """
    try:
        with quiet_tiled():
            return import_module(f".{module}", __package__)
    except ImportError as error:
        needed = (error.name or "").partition(".")[0]
        raise StinsError(f"the catalogue needs {needed}; install it: pip install 'stins-ophyd[{extra}]'") from error
