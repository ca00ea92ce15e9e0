"""A system that starts no further thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["no_threads"]


@contextmanager
def no_threads() -> Iterator[None]:
    """Each thread needs more memory for its stack than there are addresses."""
    usual = threading.stack_size(1 << 46)
    try:
        yield
    finally:
        threading.stack_size(usual)
