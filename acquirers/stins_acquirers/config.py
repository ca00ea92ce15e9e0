"""The configuration of an acquirer process."""

from typing import Any

from pydantic import Field, model_validator

from stins.daemon import HttpConfig, Model
from stins.transport import DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_RING_BYTES

from .backlog import WhenFull
from .surroundings import BeamlineConfig, GeometryConfig

__all__ = ["AcquirerConfig", "StreamConfig"]


class StreamConfig(Model):
    """The sockets that recorders connect to."""

    recorders: int = Field(default=1, ge=1, le=64)
    """To how many recorders the frames are dealt: frame n goes to recorder n mod `recorders`. Sources that give several
    frames in one message have one recorder."""
    endpoint: str | list[str] = "tcp://127.0.0.1:0"
    """ZeroMQ endpoint to bind; port 0 lets the system choose. With several recorders a list of as many, or one from
    which the ports are counted upwards."""
    budget_bytes: int = Field(default=DEFAULT_BUDGET_BYTES, gt=0)
    """Memory for frames that wait to be sent, in bytes, for all recorders together."""
    max_message_bytes: int = Field(default=DEFAULT_MAX_MESSAGE_BYTES, gt=0)
    """The largest message, in bytes; budget / largest message is the high-water mark."""
    acks: str | list[str] | None = "tcp://127.0.0.1:0"
    """ZeroMQ endpoint to bind for the recorders' acks, as `endpoint`; null: what a recorder loses when it dies is not
    sent again."""
    ring_bytes: int = Field(default=DEFAULT_RING_BYTES, gt=0)
    """Memory for frames that were sent and are not acked yet, in bytes, for all recorders together: what comes within
    the time that a recorder may be away."""
    when_full: WhenFull = "drop"
    """What becomes of a frame that finds no room, of a detector that can't wait: `drop` it and name it in the stream,
    or `stop` the series as failed."""
    peer_timeout_s: float = Field(default=5.0, gt=0)
    """How long to wait for a recorder to connect, to take a frame of a source that can wait, or to ack the last ones
    when the acquirer is stopped, in seconds."""

    @model_validator(mode="after")
    def _check_endpoints(self) -> "StreamConfig":
        for key in ("endpoint", "acks"):
            _each(key, getattr(self, key), self.recorders)
        return self

    @property
    def endpoints(self) -> list[str]:
        """Where each recorder connects to."""
        return _each("endpoint", self.endpoint, self.recorders)

    @property
    def ack_endpoints(self) -> list[str] | list[None]:
        """Where each recorder sends its acks."""
        return [None] * self.recorders if self.acks is None else _each("acks", self.acks, self.recorders)


def _each(key: str, given: str | list[str] | None, count: int) -> list[str]:
    """An endpoint for each recorder."""
    if isinstance(given, list):
        if len(given) != count:
            raise ValueError(f"{key}: got {len(given)} endpoints, expected {count}, as in recorders")
        return given
    if given is None or count == 1:
        return [given] if given else []
    base, _, port = given.rpartition(":")
    if not port.isdigit():
        raise ValueError(f"{key}: got {given!r} for {count} recorders, expected a list, or one that ends with a port")
    return [f"{base}:{int(port) + index if int(port) else 0}" for index in range(count)]


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
    beamline: BeamlineConfig = BeamlineConfig()
    """What no detector knows: names, and the beam."""
    geometry: GeometryConfig = GeometryConfig()
    """Where the detector stands, as far as it does not say so itself."""
