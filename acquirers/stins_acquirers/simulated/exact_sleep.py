"""How exactly a thread wakes."""

import ctypes
from typing import Final

__all__ = ["sleep_exactly"]

#: Of linux/prctl.h.
_PR_SET_TIMERSLACK: Final = 29
_NANOSECONDS: Final = 1


def sleep_exactly() -> None:
    """From now on the calling thread wakes when it is to: Linux may let it sleep 50 us longer else (prctl(2)).

    Other systems have no such call, and stay as they are.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_TIMERSLACK, *map(ctypes.c_ulong, (_NANOSECONDS, 0, 0, 0)))
