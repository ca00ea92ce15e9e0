"""The catalogue that documents are for: the same one, whatever the way to it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

__all__ = ["Recipient", "described", "recipient_of"]

_KEY = "stins_catalogue"


class Recipient(msgspec.Struct, frozen=True):
    """A catalogue.

    `id` tells it from others: its own, whether it is opened in a process or served at any address; of a Tiled server
    that is not ours, its address. `place` is for people: its folder, or that address.
    """

    id: str
    place: str


def described(folder: Path) -> dict[str, Any]:
    """What our catalogue in `folder` says of itself to whoever opens it, as Tiled's metadata."""
    return {_KEY: {"id": _own_id(folder), "place": str(folder)}}


def recipient_of(catalog: Any) -> Recipient:
    """Which one a client has."""
    own = catalog.metadata.get(_KEY)
    return Recipient(**own) if own else Recipient(id=str(catalog.uri), place=str(catalog.uri))


def _own_id(folder: Path) -> str:
    """It goes with the folder when that is moved; of an older catalogue that may only be read, the folder's name."""
    own = uuid4().hex
    file, new = folder / "id", folder / f"id.{own}"
    if not file.exists():
        with suppress(OSError):  # somebody else was faster, or this process may not write
            new.write_text(own)
            os.link(new, file)  # whole, or not there
        new.unlink(missing_ok=True)
    return file.read_text() if file.exists() else str(folder)
