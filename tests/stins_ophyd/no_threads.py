"""A system that starts no further thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["STACK_BYTES", "no_threads"]

#: More addresses than any process has (2^47; 2^56 with five levels of pages). What is less is only refused by a system
#: that counts what it promises (vm.overcommit_memory), which many a container's does not.
STACK_BYTES = 1 << 57


@contextmanager
def no_threads() -> Iterator[None]:
    """Each thread needs more memory for its stack than there are addresses."""
    usual = threading.stack_size(STACK_BYTES)
    try:
        yield
    finally:
        threading.stack_size(usual)
