"""What a plan or a signal is given, checked first: a slip of the hand is refused in a line, by its name."""

from contextlib import suppress
from math import inf, isfinite
from numbers import Integral, Real

from stins import StinsError

__all__ = ["count_of", "number_of", "seconds_of"]


def count_of(name: str, value: object) -> int:
    """A whole number of at least 1; NumPy's too, which plans make.

    Raises:
        StinsError: it is none.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise StinsError(f"{name}: got {value!r}, expected a whole number of at least 1")
    return int(value)


def seconds_of(name: str, value: object) -> float:
    """A time of at least 0 s.

    Raises:
        StinsError: it is none.
    """
    return _real(name, value, 0.0, "seconds, a number of at least 0")


def number_of(name: str, value: object) -> float:
    """Any number that is finite.

    Raises:
        StinsError: it is none.
    """
    return _real(name, value, -inf, "a finite number")


def _real(name: str, value: object, least: float, expected: str) -> float:
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):  # a whole number, or a fraction, that no float can be
            number = float(value)
            if isfinite(number) and number >= least:
                return number
    raise StinsError(f"{name}: got {value!r}, expected {expected}")
