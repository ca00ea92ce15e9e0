"""Where a staging's file goes. Path providers work as in ophyd-async: its own ones can be used here too."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol
from uuid import uuid4

from stins import StinsError

__all__ = [
    "ALLOWED",
    "HasPath",
    "PathInfo",
    "PathProvider",
    "StaticPathProvider",
    "is_readable",
    "path_provider_of",
    "relative_name",
    "uuid_filename",
]

_SUFFIX = ".nxs"
_HINT = "such as StaticPathProvider() or TemplatePathProvider(...)"
_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
#: What a name may have, for messages.
ALLOWED = "letters, digits and . _ - only: a catalogue cannot read others back"


class HasPath(Protocol):
    """What a path provider returns, at least."""

    @property
    def directory_path(self) -> PurePath:
        """The folder: below one of the recorder's roots, or relative to the first of them."""

    @property
    def filename(self) -> str:
        """The file's name; without a suffix, `.nxs` is put behind it."""


class PathProvider(Protocol):
    """Names the file of each staging.

    It is asked when the detector is staged; one with an attribute `per_run` that is true when the series is armed, and
    its run known.
    """

    def __call__(self, datakey_name: str | None = None) -> HasPath:
        """Where the file for that data key goes."""


@dataclass(frozen=True)
class PathInfo:
    """A folder, relative to the recorder's first root or below any of them, and a file name."""

    directory_path: PurePath
    filename: str


def uuid_filename(datakey_name: str | None = None) -> str:
    """A name that no other file has."""
    prefix = f"{datakey_name}-" if datakey_name else ""
    return f"{prefix}{uuid4()}"


def is_readable(step: str) -> bool:
    """Whether a folder or file of that name can be read back by a catalogue.

    Tiled takes a file's URI as it stands, so that neither a blank nor an escape for it works.
    """
    return _STEP.fullmatch(step) is not None


class StaticPathProvider:
    """Always the same folder; the names come from `filename_provider`."""

    def __init__(
        self,
        filename_provider: Callable[[str | None], str] = uuid_filename,
        directory_path: PurePath | str = "",
    ) -> None:
        if not callable(filename_provider):
            raise TypeError(
                f"StaticPathProvider: filename_provider: got {filename_provider!r}, expected a function that gives "
                "each file a name, for each has one of its own"
            )
        self._filename_provider = filename_provider
        self._directory_path = PurePath(directory_path)

    def __call__(self, datakey_name: str | None = None) -> PathInfo:
        """The folder and the next name."""
        return PathInfo(self._directory_path, self._filename_provider(datakey_name))


def path_provider_of(value: PathProvider | None) -> PathProvider:
    """The value, if it can be called as a path provider is; the default one for None.

    Raises:
        TypeError: it cannot be called.
    """
    if value is None:
        return StaticPathProvider()
    if not callable(value):
        raise TypeError(f"got {value!r}, expected a path provider, {_HINT}, or None for the default")
    return value


def relative_name(path: HasPath, roots: Sequence[str]) -> str:
    """The file name as the recorder wants it: relative to its first root, or `NAME:file` below the root called NAME.

    Raises:
        StinsError: outside the roots, or a character that a catalogue could not read back, or no path at all.
    """
    if not (hasattr(path, "directory_path") and hasattr(path, "filename")):
        raise StinsError(f"path provider: got {path!r}, expected a PathInfo: is it a path provider, {_HINT}?")
    folder, place = PurePath(path.directory_path), ""
    if folder.is_absolute():
        root = next((root for root in roots if folder.is_relative_to(root)), None)
        if root is None:
            raise StinsError(
                f"path provider: got folder {folder}, expected one below the recorder's roots: {', '.join(roots)}; "
                "a relative one is below the first of them"
            )
        folder = folder.relative_to(root)
        place = "" if root == roots[0] else f"{PurePath(root).name}:"
    name = path.filename if PurePath(path.filename).suffix else path.filename + _SUFFIX
    for step in (*folder.parts, name):
        if not is_readable(step):
            raise StinsError(f"path provider: got {step!r} in {folder / name}, expected {ALLOWED}")
    return f"{place}{folder / name}"
