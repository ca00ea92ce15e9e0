"""How far sweeps of random and exhaustive tests go: a sample by default, much further with `pytest --long`."""

import os

__all__ = ["LONG", "sweep"]

#: Set by `--long` before the test modules are read.
LONG = "STINS_LONG_TESTS"


def sweep(short: int, long: int) -> int:
    """The one number, or the other with `--long`."""
    return long if LONG in os.environ else short
