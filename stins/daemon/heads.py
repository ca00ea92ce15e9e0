"""What both ends read alike in the head of a message."""

import string
from collections.abc import Mapping
from typing import Final, Literal

__all__ = ["closes", "natural"]

#: Python makes no number of thousands of digits.
_MOST_DIGITS = 18
_DIGITS: Final = {10: frozenset(string.digits), 16: frozenset(string.hexdigits)}


def natural(text: str, base: Literal[10, 16] = 10) -> int | None:
    """The number that `text` is; None where it has anything but digits in it, or too many of them."""
    # int() would take 0x10 and 0b1, -1, 1_0 and digits of any script.
    if not 0 < len(text) <= _MOST_DIGITS or not _DIGITS[base].issuperset(text):
        return None
    return int(text, base)


def closes(headers: Mapping[str, str]) -> bool:
    """Whether who sent these closes the connection behind this message."""
    return "close" in (each.strip() for each in headers.get("connection", "").lower().split(","))
