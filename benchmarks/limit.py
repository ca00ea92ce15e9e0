"""The limit of the machine: a process that receives each message uncopied, writes its payload, and nothing else."""

import mmap
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import zmq

__all__ = ["write_series"]

_PAGE = 4096


def write_series(pipe: Connection, endpoint: str, queue: int) -> None:
    """Receives series from `endpoint`: (path, frames, direct). It answers when it is done.

    `direct`: past the page cache, from one aligned buffer, up to fsync; else `pwrite` through the page cache.
    """
    socket = zmq.Context.instance().socket(zmq.PULL)
    socket.rcvhwm = queue
    socket.connect(endpoint)
    while True:
        path, frames, direct = pipe.recv()
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        descriptor = os.open(path, flags | (os.O_DIRECT if direct else 0))
        socket.recv_multipart(copy=False)
        pipe.send("ready")
        (_direct if direct else _buffered)(socket, descriptor, frames)
        if direct:
            os.fsync(descriptor)
        pipe.send(time.monotonic())
        socket.recv_multipart(copy=False)
        os.close(descriptor)
        Path(path).unlink()
        # Who measures next must not pay for that: to let go of 768 MiB in memory takes 0.1 s of one core.
        pipe.send("gone")


def _buffered(socket: "zmq.Socket[bytes]", descriptor: int, frames: int) -> None:
    position = 0
    for _ in range(frames):
        position += os.pwrite(descriptor, socket.recv_multipart(copy=False)[1].buffer, position)


def _direct(socket: "zmq.Socket[bytes]", descriptor: int, frames: int) -> None:
    position, buffer = 0, np.empty(0, np.uint8)
    for _ in range(frames):
        payload = np.frombuffer(socket.recv_multipart(copy=False)[1].buffer, np.uint8)
        size = -(-len(payload) // _PAGE) * _PAGE
        if len(buffer) < size:
            # A mapping begins at a page, which is what O_DIRECT asks for.
            buffer = np.frombuffer(mmap.mmap(-1, size), np.uint8)
        np.copyto(buffer[: len(payload)], payload)
        position += os.pwrite(descriptor, buffer[:size], position)
