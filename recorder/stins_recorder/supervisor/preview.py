"""The supervisor's side of the preview: small numbers of a frame, computed where they cannot slow the writer."""

import logging
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from stins import Data, Decoder
from stins.control import Preview
from stins.transport.sockets import harden

from ..pixels.frame_summary import frame_summary
from ..pixels.masks import MASKS, Counted, counted

__all__ = ["PreviewReader"]

log = logging.getLogger(__name__)

_POLL_MS = 200
#: Frames go to the disk first: on a busy machine this thread has the time that others leave.
_NICE = 15


class PreviewReader:
    """A thread that reads frames from an ipc socket of its own and reports their numbers, with their series' id."""

    def __init__(self, report: Callable[[str | None, Preview], None]) -> None:
        self._report = report
        # A folder that only this user can enter: nobody else can feed or read frames.
        self._folder = tempfile.TemporaryDirectory(prefix="stins-")
        self.endpoint = f"ipc://{Path(self._folder.name) / 'preview'}"
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        harden(self._socket)
        self._socket.rcvhwm = 2
        self._socket.bind(self.endpoint)
        self._decoder = Decoder()
        self._counted: tuple[str | None, Counted] = (None, {})
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="preview", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and removes the socket. Closing twice does no harm."""
        self._closed.set()
        self._thread.join(5)
        self._socket.close()
        self._context.term()
        self._folder.cleanup()

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while not self._closed.is_set():
            if self._socket.poll(_POLL_MS) and (latest := self._latest()):
                first, *parts = latest
                try:
                    row, series_id = msgspec.json.decode(first, type=tuple[int, str | None])
                    self._look(row, series_id, parts)
                except Exception as error:
                    # Whatever a frame holds: the next one gets its preview.
                    log.warning("no preview of row and series %s: %s", first, error)

    def _latest(self) -> list[bytes]:
        """The last of the frames that wait, if there is one; masks among them are taken in."""
        latest: list[bytes] = []
        while self._socket.poll(0):
            parts = self._socket.recv_multipart()
            if parts[0].startswith(MASKS):
                self._keep_masks(*parts)
            else:
                latest = parts
        return latest

    def _keep_masks(self, first: bytes, *parts: bytes) -> None:
        try:
            _, series_id = msgspec.json.decode(first, type=tuple[None, str | None])
            # Before anything fails: those of the series before are gone.
            self._counted = (series_id, {})
            self._counted = (series_id, counted(self._decoder.decode(parts)))
        except Exception as error:
            # No frame goes without its numbers for a mask.
            log.warning("previews count all pixels: the mask of row and series %s cannot be read: %s", first, error)

    def _look(self, row: int, series_id: str | None, parts: list[bytes]) -> None:
        packet = self._decoder.decode(parts)
        header = packet.header
        if not isinstance(header, Data) or not header.data:
            return
        masked_series, masks = self._counted
        if series_id != masked_series:
            masks = {}
        self._report(series_id, frame_summary(header, packet, row, masks))
