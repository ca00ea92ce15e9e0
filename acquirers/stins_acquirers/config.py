"""The configuration of an acquirer process."""

from typing import Any

from pydantic import Field

from stins.daemon import HttpConfig, Model
from stins.transport import DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_RING_BYTES

from .backlog import WhenFull

__all__ = ["AcquirerConfig", "StreamConfig"]


class StreamConfig(Model):
    """The socket that recorders connect to."""

    endpoint: str = "tcp://127.0.0.1:0"
    """ZeroMQ endpoint to bind; port 0 lets the system choose."""
    budget_bytes: int = Field(default=DEFAULT_BUDGET_BYTES, gt=0)
    """Memory for frames that wait to be sent, in bytes."""
    max_message_bytes: int = Field(default=DEFAULT_MAX_MESSAGE_BYTES, gt=0)
    """The largest message, in bytes; budget / largest message is the high-water mark."""
    acks: str | None = "tcp://127.0.0.1:0"
    """ZeroMQ endpoint to bind for the recorders' acks; null: what a recorder loses when it dies is not sent again."""
    ring_bytes: int = Field(default=DEFAULT_RING_BYTES, gt=0)
    """Memory for frames that were sent and are not acked yet, in bytes: what comes within the time that a recorder
    may be away."""
    when_full: WhenFull = "drop"
    """What becomes of a frame that finds no room, of a detector that can't wait: `drop` it and name it in the stream,
    or `stop` the series as failed."""
    peer_timeout_s: float = Field(default=5.0, gt=0)
    """How long to wait for a recorder to connect, to take a frame of a source that can wait, or to ack the last ones
    when the acquirer is stopped, in seconds."""


class AcquirerConfig(Model):
    """One acquirer process."""

    name: str = Field(default="detector", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """Name of the detector; it stands in the stream, the file and the error messages."""
    backend: str
    """What drives the detector: an entry point of the group `stins.acquirers`, such as `simulated` or `replay`."""
    settings: dict[str, Any] = {}
    """The backend's settings; `stins acquirer --describe BACKEND` lists them."""
    http: HttpConfig = HttpConfig()
    """Where the acquirer is controlled."""
    stream: StreamConfig = StreamConfig()
    """Where its frames go."""
