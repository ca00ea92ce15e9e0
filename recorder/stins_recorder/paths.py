"""Where a file may be created: below a configured root, under a name that every reader can deal with, and only once."""

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from .errors import PathError

__all__ = ["resolve"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_LONGEST = 255
_LONGEST_PATH = 1000


def resolve(roots: Sequence[Path], filename: str, *, standing: bool = False) -> Path:
    """The absolute path of a file that can be created; `roots` are absolute, without symbolic links.

    `standing`: it may stand already.

    Raises:
        PathError: the name is absolute, leaves its root (`..`, a symbolic link), has characters that a catalogue
            cannot read back, stands already, or has something else than a writable folder above it. Nothing was
            created.
    """
    if len(filename) > _LONGEST_PATH:
        raise PathError(
            f"filename {filename[:60]!r}…: got {len(filename)} characters, expected {_LONGEST_PATH} at most"
        )
    root, relative = _choose_root(roots, filename)
    for step in _steps(relative, filename):
        if not _NAME.fullmatch(step) or len(step) > _LONGEST:
            raise PathError(f"filename {filename!r}: {step!r} is refused; use letters, digits and . _ - only")
    path = root.joinpath(relative)
    try:
        _look(root, path, filename, standing=standing)
    except (OSError, RuntimeError) as error:  # Python 3.11 raises a RuntimeError for a circle of symbolic links
        raise PathError(f"filename {filename!r}: {error}") from error
    return path


def _look(root: Path, path: Path, filename: str, *, standing: bool) -> None:
    if not path.parent.resolve().is_relative_to(root):
        raise PathError(f"filename {filename!r}: a symbolic link leads out of the root {root}")
    if not standing and (path.is_symlink() or path.exists()):
        raise PathError(
            f"filename {filename!r}: {path} stands already, and nothing is ever overwritten; choose another name"
        )
    if not root.is_dir():
        # It stood when the recorder started: a mount has gone, and what is below it now is another disk.
        raise PathError(f"filename {filename!r}: the root {root} is gone")
    folder = next(above for above in path.parents if above.is_symlink() or above.exists())
    if not folder.is_dir():
        raise PathError(f"filename {filename!r}: {folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PathError(f"filename {filename!r}: the recorder may not write into {folder}")


def _choose_root(roots: Sequence[Path], filename: str) -> tuple[Path, str]:
    name, colon, rest = filename.partition(":")
    if not colon:
        return roots[0], filename
    for root in roots:
        if root.name == name:
            return root, rest
    names = ", ".join(root.name for root in roots)
    raise PathError(f"filename {filename!r}: no root is called {name!r}; there are: {names}")


def _steps(relative: str, filename: str) -> tuple[str, ...]:
    path = PurePosixPath(relative)
    if path.is_absolute():
        raise PathError(f"filename {filename!r}: got an absolute path, expected one relative to a root")
    if ".." in path.parts:
        raise PathError(f"filename {filename!r}: '..' could leave the root")
    if not path.parts:
        raise PathError(f"filename {filename!r}: expected a name")
    return path.parts
