"""How a message says how many of something there are, and which."""

__all__ = ["how_many", "spanned"]


def how_many(count: int, noun: str) -> str:
    """`1 frame`, `2 frames`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def spanned(noun: str, first: int, last: int) -> str:
    """`frame 3`, `frames 3 to 5`."""
    return f"{noun} {first}" if first == last else f"{noun}s {first} to {last}"
