"""A catalogue in this process, without a server or a port. Other processes may open it at the same time."""

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .tiled import quiet_tiled, with_tiled

__all__ = ["open_catalog"]

#: Of all catalogues here: Tiled has one set of settings, and a second key would lock out the first catalogue.
_KEY = secrets.token_hex(16)


def open_catalog(folder: Path | str, readable: Iterable[Path | str] = ()) -> Any:
    """Opens the catalogue in `folder`, creating it if need be; returns Tiled's client for it.

    `catalog[uid]`, `catalog[-1]` and `catalog[scan_id]` are runs. Only frames in files below the folders `readable`
    can be read.

    Raises:
        StinsError: the folder cannot be made.
    """
    parts = with_tiled("app")
    app = parts.catalogue_app(Path(folder).resolve(), [Path(path) for path in readable], _KEY)
    with quiet_tiled():
        return parts.client_of(app, _KEY)
