"""What comes from a detector's stream, of either version: which series it belongs to, and our value of it."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from stins.messages import Payload

from ..backend import Ending, Frame, Opening

__all__ = ["Identity", "Incoming", "Stream"]


class Identity(msgspec.Struct, frozen=True):
    """Which series of the detector: its number, which begins anew with each `initialize`, and (v2) its unique id."""

    number: int
    unique_id: str = ""

    def __str__(self) -> str:
        return f"{self.number} ({self.unique_id})" if self.unique_id else str(self.number)


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """One message. The `number` of a `Frame` is the detector's number of the image here.

    `appendix`: what the user had the detector send with its start message.
    """

    series: Identity
    value: Opening | Frame | Ending
    appendix: Any = None


class Stream(Protocol):
    """One version of the stream."""

    def read(self, parts: Sequence[Payload]) -> Incoming:
        """The message, its pixels uncopied; raises `BackendError` that names what is wrong with it."""
