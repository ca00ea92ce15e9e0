"""ZeroMQ's own threads, which copy what is sent and received."""

import os
from typing import Any, Final

import zmq

__all__ = ["shared_context", "undisturbing"]

#: Linux has it. A thread of this kind takes its turn like any other, but does not interrupt another when it wakes.
_BATCH: Final[int | None] = getattr(os, "SCHED_BATCH", None)


def undisturbing(context: zmq.Context[zmq.Socket[Any]]) -> zmq.Context[zmq.Socket[Any]]:
    """Has the context's threads not interrupt the one that hands them a message; called before its first socket.

    They copy 10 MB for some milliseconds, often on the same core, and what comes behind the sending finds its code and
    data gone from the caches: that was a third of the acquirer's CPU time of an image.
    """
    if _BATCH is not None:
        context.set(zmq.THREAD_SCHED_POLICY, _BATCH)
    return context


def shared_context() -> zmq.Context[zmq.Socket[Any]]:
    """The process's context, of sockets that were given none."""
    return undisturbing(zmq.Context.instance())
