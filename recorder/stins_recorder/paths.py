"""Where a file may be created: below a configured root, under a name that every reader can deal with, and only once."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from .errors import PathError

__all__ = ["resolve"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_LONGEST = 255


def resolve(roots: Sequence[Path], filename: str) -> Path:
    """The absolute path of a file that can be created.

    Raises:
        PathError: the name is absolute, leaves its root (`..`, a symbolic link), has characters that a catalogue
            cannot read back, or stands already. Nothing was created.
    """
    root, relative = _choose_root(roots, filename)
    for step in _steps(relative, filename):
        if not _NAME.fullmatch(step) or len(step) > _LONGEST:
            raise PathError(f"filename {filename!r}: {step!r} is refused; use letters, digits and . _ - only")
    path = root.joinpath(relative)
    if not path.parent.resolve().is_relative_to(root):
        raise PathError(f"filename {filename!r}: a symbolic link leads out of the root {root}")
    if path.is_symlink() or path.exists():
        raise PathError(f"filename {filename!r}: {path} stands already, and nothing is ever overwritten")
    return path


def _choose_root(roots: Sequence[Path], filename: str) -> tuple[Path, str]:
    name, colon, rest = filename.partition(":")
    if not colon:
        return roots[0].resolve(), filename
    for root in roots:
        if root.name == name:
            return root.resolve(), rest
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
