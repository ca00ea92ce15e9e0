"""The configuration of a recorder process."""

import re
from pathlib import Path
from typing import Self

import msgspec
from pydantic import Field, field_validator, model_validator

from stins.daemon import HttpConfig, Model
from stins.transport import DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES

from .writer_config import WriterConfig

__all__ = ["OrderConfig", "RecorderConfig"]

#: As in a file's name: Tiled reads a file's URI as it stands, so that neither a blank nor an escape for it works.
_READABLE = re.compile(r"[A-Za-z0-9._/-]*")


class OrderConfig(Model):
    """How long to wait for a message that is out of order."""

    window: int = Field(default=64, ge=1)
    """How many messages may wait for one that is missing."""
    window_bytes: int = Field(default=256 << 20, gt=0)
    """How many bytes these may hold."""
    gap_timeout_s: float = Field(default=2.0, gt=0)
    """After how many seconds a missing message is given up and its frames are declared missing."""


class RecorderConfig(Model):
    """One recorder process."""

    name: str = Field(default="recorder", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """Name of the recorder, as it stands in its messages."""
    roots: list[Path] = Field(min_length=1)
    """Folders below which files may be created. A plain file name goes below the first; `NAME:file.h5` goes below the
    root whose folder is called NAME. Relative ones and symbolic links are resolved once, at the start."""
    sources: list[str] = Field(min_length=1)
    """ZeroMQ endpoints of the acquirer, such as tcp://127.0.0.1:9999."""
    acks: list[str] = []
    """Its endpoints for acks, one for each source in the same order: then it sends again what a recorder that died had
    not flushed. Empty: nothing is sent again."""
    live: str = "tcp://127.0.0.1:0"
    """Endpoint on which the stream is published again for live view; it may drop, the file never does."""
    http: HttpConfig = HttpConfig()
    """Where the recorder is controlled."""
    strict: bool = False
    """Refuse messages with unknown keys, instead of keeping these keys under detector_specific."""
    order: OrderConfig = OrderConfig()
    """How disorder in the stream is treated."""
    idle_timeout_s: float | None = Field(default=None, gt=0)
    """End a series as incomplete when nothing came for so many seconds; null: wait as long as the sender is there."""
    sender_gone_s: float = Field(default=2.0, gt=0)
    """How many seconds a sender may be away before its series is ended as incomplete; with `acks`, which let it send
    again what is lost with a connection, at least `replay_timeout_s`."""
    replay_timeout_s: float = Field(default=10.0, gt=0)
    """How long a series waits for a sender that keeps what is not acked, and for what it is to send again, in s."""
    budget_bytes: int = Field(default=DEFAULT_BUDGET_BYTES, gt=0)
    """Memory for frames that wait to be written, in bytes."""
    max_message_bytes: int = Field(default=DEFAULT_MAX_MESSAGE_BYTES, gt=0)
    """The largest message taken, in bytes."""
    flush_interval_s: float = Field(default=0.2, gt=0)
    """The longest time between two flushes, in seconds; with nothing waiting a flush is immediate."""
    reserve_bytes: int = Field(default=16 << 20, ge=0)
    """Room that is kept free for closing a file: a series stops before it is used up, in bytes."""
    frames_per_file: int | None = Field(default=None, ge=1)
    """Frames of a series in one data file; the series' own file shows them all. null: the series is one file."""
    numbers_bytes_per_s: float = Field(default=200e6, gt=0)
    """How many bytes of pixels a second are looked at for the numbers of frames (where somebody asked for these) while
    the series runs; it costs an eighth of a core, of the time that is left, and with small frames a quarter at most."""
    call_limit_s: float = Field(default=2.0, gt=0)
    """A call to the file system that takes longer is reported while it hangs, in seconds."""
    resume_limit_s: float = Field(default=30.0, gt=0)
    """How long going on with the file of a writer that died may take; then the file is given up, in seconds."""

    def for_writer(self) -> WriterConfig:
        """What its writer is told."""
        return msgspec.convert(self.model_dump(mode="json"), WriterConfig)

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if self.acks and len(self.acks) != len(self.sources):
            raise ValueError(
                f"acks: got {len(self.acks)} endpoints, expected one for each of {len(self.sources)} sources"
            )
        return self

    @field_validator("roots")
    @classmethod
    def _resolve(cls, roots: list[Path]) -> list[Path]:
        roots = [root.resolve() for root in roots]
        for root in roots:
            if not _READABLE.fullmatch(str(root)):
                raise ValueError(
                    f"{str(root)!r} could not be read back by a catalogue; use letters, digits and . _ - only"
                )
        names = [root.name for root in roots]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two roots are called {twice!r}, and {twice}:file.h5 could mean either")
        return roots
