"""The configuration of a catalogue process."""

from pathlib import Path

from pydantic import Field

from stins.daemon import HttpConfig, Model

__all__ = ["CatalogueConfig"]


class CatalogueConfig(Model):
    """One served catalogue."""

    name: str = Field(default="catalogue", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """Name of the process, as it stands in its messages."""
    folder: Path
    """Where the catalogue is, or is to be; a process may have it open without a port at the same time."""
    readable: list[Path] = []
    """Folders below which the files of detectors may be read: the roots of the recorders."""
    http: HttpConfig = HttpConfig()
    """Where it is asked; the content of `token_file` is its key, without one the environment's TILED_API_KEY."""
