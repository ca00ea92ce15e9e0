"""Memory of messages that were let go of stays with the process, for the messages that follow."""

import ctypes
from typing import Final

__all__ = ["keep_memory"]

#: Of glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_MOST: Final = (1 << 31) - 1
#: An older glibc takes no more as a threshold.
_OLDER: Final = 32 << 20


def keep_memory() -> bool:
    """Whether glibc does so from now on; called before there are threads, in a process that does little else.

    By itself glibc gives memory back to the system and fetches it anew, page by page: of an image of 10 MB that takes
    0.7 ms of the loop, which lets go of it when it is acked, and 2 ms of ZeroMQ's thread, which fills it; of one of
    163 kB a third of all that it costs. What is kept is no more than the messages ever were that waited at once, which
    the queues' budgets bound. One arena for all threads: those of threads are unmapped whatever the thresholds say.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    if not (mallopt(_M_MMAP_THRESHOLD, _MOST) or mallopt(_M_MMAP_THRESHOLD, _OLDER)):
        # Alone, the others would make it worse: every large message would be mapped anew.
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _MOST) and mallopt(_M_ARENA_MAX, 1))
