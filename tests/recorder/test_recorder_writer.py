"""The hot path: what the writer takes from the socket goes to the file as it is."""

import socket
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
import zmq
from recorder_kit import DATA, Stream, image, wait_until
from stins_recorder.config import RecorderConfig
from stins_recorder.link import Link
from stins_recorder.writer import Writer

from stins import Part
from stins.transport import Publisher

FRAME = Part(name="image", shape=(2048, 2048), dtype="uint16")
FRAME_BYTES = 8 << 20


class Loop:
    """A writer in this process, driven by hand."""

    def __init__(self, root: Path, **config: Any) -> None:
        root.mkdir()
        self.publisher = Publisher("tcp://127.0.0.1:0")
        self.stream = Stream(self._send)
        self._ours, theirs = socket.socketpair()
        self.writer = Writer(
            RecorderConfig(roots=[root], sources=[self.publisher.endpoint], **config), Link(theirs), "ipc://@stins-test"
        )

    def _send(self, parts: list[bytes]) -> None:
        assert self.publisher.send(parts, 10)

    def take(self, messages: int) -> None:
        """Takes so many messages, as `run` does."""
        for _ in range(messages):
            wait_until(lambda: self.writer._receiver.socket.poll(10))
            parts = self.writer._receiver.receive()
            assert parts is not None
            self.writer._take(parts, 0.0)

    def close(self) -> None:
        self.publisher.close(0)
        self.writer._close()
        self._ours.close()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(tmp_path / "data")
    yield loop
    loop.close()


def test_a_payload_goes_from_the_socket_to_the_file_uncopied(loop: Loop) -> None:
    content = image(1, FRAME.shape).tobytes()
    loop.stream.start(data=(FRAME,))
    loop.stream.frame(0, content, data=(FRAME,))
    loop.take(2)
    before = psutil.Process().memory_info().rss
    tracemalloc.start()
    for number in range(1, 21):
        loop.stream.frame(number, content, data=(FRAME,))
        loop.take(1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 160 MiB went through: Python allocated not even a twentieth of one frame; libzmq and HDF5 kept a few frames.
    assert peak < FRAME_BYTES // 20
    assert psutil.Process().memory_info().rss - before < 8 * FRAME_BYTES
    loop.stream.end()
    loop.take(1)
    with h5py.File(loop.writer._recording.series.file) as file:  # type: ignore[union-attr]
        np.testing.assert_array_equal(file[DATA][20], image(1, FRAME.shape))


def test_hdf5_is_given_the_memory_that_the_socket_received(loop: Loop) -> None:
    content = image(1, FRAME.shape).tobytes()
    loop.stream.start(data=(FRAME,))
    loop.stream.frame(0, content, data=(FRAME,))
    loop.take(1)
    wait_until(lambda: loop.writer._receiver.socket.poll(10))
    parts = loop.writer._receiver.receive()
    assert parts is not None
    given: list[Any] = []

    def profile(_frame: Any, event: str, function: Any) -> None:
        if event == "c_call" and getattr(function, "__name__", "") == "write_direct_chunk":
            given.append(_frame.f_locals["content"])

    sys.setprofile(profile)
    try:
        loop.writer._take(parts, 0.0)
    finally:
        sys.setprofile(None)
    stored = loop.writer._recording.last_stored
    assert stored is not None
    payload = stored.packet.payload[0]
    assert payload is parts[1]
    assert isinstance(payload, memoryview)
    assert isinstance(payload.obj, zmq.Frame)
    # Cython functions call no profiler in every build of h5py; where they do, it is the same object.
    assert all(content is payload for content in given)


def test_a_message_too_large_is_refused_by_the_socket(tmp_path: Path) -> None:
    loop = Loop(tmp_path / "data", max_message_bytes=1 << 20)
    try:
        loop.stream.start(data=(FRAME,))
        loop.take(1)
        loop.stream.frame(0, bytes(FRAME_BYTES), data=(FRAME,))
        receiver = loop.writer._receiver
        wait_until(lambda: receiver.watch_connections() or receiver.connections == 0 or receiver.alone_for() > 0)
        assert receiver.receive() is None
    finally:
        loop.close()
