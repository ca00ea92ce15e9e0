"""ZeroMQ's own threads, which copy what is sent and received."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final

import zmq

__all__ = ["shared_context", "undisturbing"]

log = logging.getLogger(__name__)

#: Linux has it. A thread of this kind takes its turn like any other, but does not interrupt another when it wakes.
_BATCH: Final[int | None] = getattr(os, "SCHED_BATCH", None)


def undisturbing(context: zmq.Context[zmq.Socket[Any]]) -> zmq.Context[zmq.Socket[Any]]:
    """Has the context's threads not interrupt the one that hands them a message; called before its first socket.

    They copy 10 MB for some milliseconds, often on the same core, and what comes behind the sending finds its code and
    data gone from the caches: that was a third of the acquirer's CPU time of an image. A process that was given a
    scheduling policy of its own keeps it.
    """
    if _BATCH is not None and os.sched_getscheduler(0) == os.SCHED_OTHER and _is_allowed():
        context.set(zmq.THREAD_SCHED_POLICY, _BATCH)
    return context


def shared_context() -> zmq.Context[zmq.Socket[Any]]:
    """The process's context, of sockets that were given none."""
    return undisturbing(zmq.Context.instance())


@cache
def _is_allowed() -> bool:
    """Tried in a thread that ends with it: ZeroMQ aborts the process where it is refused."""
    with ThreadPoolExecutor(1) as trial:
        try:
            trial.submit(_become_batch).result()
        except OSError as error:
            log.info("ZeroMQ's threads stay as they are, and may interrupt: %s", error)
            return False
    return True


def _become_batch() -> None:
    if _BATCH is not None:
        os.sched_setscheduler(0, _BATCH, os.sched_param(0))
