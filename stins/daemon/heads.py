"""What both ends read alike in the head of a message."""

from collections.abc import Mapping

__all__ = ["closes", "natural"]

#: Python makes no number of thousands of digits.
_MOST_DIGITS = 18


def natural(text: str, base: int = 10) -> int | None:
    """The number that `text` is; None where it has anything but digits in it, or too many of them."""
    if len(text) > _MOST_DIGITS or not text.isascii() or not text.isalnum():
        return None
    try:
        return int(text, base)
    except ValueError:
        return None


def closes(headers: Mapping[str, str]) -> bool:
    """Whether who sent these closes the connection behind this message."""
    return "close" in (each.strip() for each in headers.get("connection", "").lower().split(","))
