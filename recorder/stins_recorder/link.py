"""What supervisor and writer say to each other, as lines of JSON over a socket pair.

Neither waits for the other: a stopped supervisor must not stall the stream, a hanging writer not the control.
"""

import socket
from typing import Literal, TypeAlias

import msgspec

from stins.control import PrepareRequest, Preview, RecorderState, SeriesStatus

from .writer_config import WriterConfig

__all__ = ["Answer", "Begin", "Line", "Link", "Order", "OrderKind", "WriterStatus"]

#: Python makes room for so many before it reads; for a mebibyte it asks the system each time, which takes 50 us.
_RECEIVE_BYTES = 1 << 16
OrderKind: TypeAlias = Literal["prepare", "stop", "reset", "exit"]


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag="begin"):
    """Supervisor to a process in waiting: it is the writer now.

    `preview` is the endpoint for frames to look at, `live` that of the writer before, which its viewers know. `give_up`
    says why an open series is not to be gone on with. `prepared` is what a writer before was told of a series to come.
    """

    config: WriterConfig
    preview: str
    live: str | None = None
    give_up: str = ""
    prepared: PrepareRequest | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True, tag="order"):
    """Supervisor to writer; `number` comes back in the answer. `reason` is why it is to stop a series."""

    number: int
    what: OrderKind
    prepare: PrepareRequest | None = None
    reason: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """Writer to supervisor: done, or why not."""

    number: int
    error: str | None = None


class WriterStatus(msgspec.Struct, frozen=True, kw_only=True, tag="status"):
    """Writer to supervisor: its whole state; at least once a second, so that silence means that it hangs.

    `unclosed` is a file that it had to leave as it was; somebody should salvage it. `preview` is that of the series'
    last frame, where the writer has looked at it itself.
    """

    state: RecorderState
    reason: str = ""
    live: str | None = None
    free_bytes: int | None = None
    prepared: str | None = None
    connections: int = 0
    series: SeriesStatus | None = None
    notes: tuple[str, ...] = ()
    unclosed: str | None = None
    preview: Preview | None = None


Line = Begin | Order | Answer | WriterStatus
_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


class Link:
    """One end of the socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._socket.setblocking(False)
        self._rest = b""
        self._unsent = b""
        self.closed = False

    def fileno(self) -> int:
        """For a poller."""
        return self._socket.fileno()

    def send(self, line: Line) -> bool:
        """Sends one line; False if the peer reads nothing: then a status is dropped, for it comes again.

        Any other line waits for the next: there are as many of them as somebody has asked for.
        """
        if self._unsent and not self._push() and isinstance(line, WriterStatus):
            return False
        self._unsent += msgspec.json.encode(line) + b"\n"
        self._push()
        return True

    def _push(self) -> bool:
        """Sends what is left of a line; whether all of it has gone."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return False
        except OSError:
            self.closed, self._unsent = True, b""
        return True

    def receive(self) -> list[Line]:
        """The lines that are there; `closed` is set when the peer has gone."""
        try:
            received = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            received = b""
        if not received:
            self.closed = True
            return []
        *lines, self._rest = (self._rest + received).split(b"\n")
        return [_DECODER.decode(line) for line in lines]

    def close(self) -> None:
        """Closes this end. Closing twice does no harm."""
        self.closed = True
        self._socket.close()
