"""Memory of messages that were let go of stays with the process, for the messages that follow."""

import ctypes
from collections.abc import Mapping
from typing import Final

__all__ = ["keep_memory", "keeping_memory"]

#: Of glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_MOST: Final = (1 << 31) - 1
#: An older glibc takes no more as a threshold.
_OLDER: Final = 32 << 20
#: The same in the words of GLIBC_TUNABLES, and in pages of 2 MiB: those are to be had from the start of a process only.
_TUNABLES: Final = (
    f"glibc.malloc.mmap_threshold={_OLDER}:glibc.malloc.trim_threshold={_MOST}:glibc.malloc.arena_max=1"
    ":glibc.malloc.hugetlb=1"
)


def keeping_memory(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that keeps memory from its start on, and has it in large pages.

    Of a recorder's time for frames of 20 MiB this saves a fifth, of that for 300 kB a tenth. What GLIBC_TUNABLES says
    already stays.
    """
    given = environment.get("GLIBC_TUNABLES", "").removeprefix(_TUNABLES)
    return {**environment, "GLIBC_TUNABLES": _TUNABLES + (f":{given.lstrip(':')}" if given else "")}


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
