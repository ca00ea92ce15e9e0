"""Faults in the system calls of a process: shim.c, built with gcc, and the shared page that says what happens when."""

import ctypes
import errno as errnos
import mmap
import os
import shutil
import subprocess
from enum import IntEnum, IntFlag
from pathlib import Path

__all__ = ["CHANGES", "FaultPage", "Kind", "Mode", "build_shim", "compiler"]

SOURCE = Path(__file__).parent / "shim.c"


class Mode(IntEnum):
    """What happens at the call."""

    OFF = 0
    KILL = 1  # before it
    TORN = 2  # with half of it done, if it is a write
    FAIL = 3
    HANG = 4


class Kind(IntFlag):
    """Which calls count; NAME: rename, link, unlink, mkdir; OPEN: those that may write."""

    WRITE = 1
    TRUNCATE = 2
    ALLOCATE = 4
    SYNC = 8
    NAME = 16
    OPEN = 32
    CLOSE = 64


#: Everything that changes what is in a file or what it is called.
CHANGES = Kind.WRITE | Kind.TRUNCATE | Kind.ALLOCATE | Kind.SYNC | Kind.NAME


def compiler() -> str | None:
    """The C compiler here, if there is one."""
    return shutil.which("gcc") or shutil.which("cc")


def build_shim(folder: Path) -> Path:
    """The shared object to preload, compiled into that folder."""
    target, tool = folder / "shim.so", compiler()
    if tool is None:
        raise FileNotFoundError("no C compiler here; expected gcc")
    subprocess.run([tool, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(target), str(SOURCE), "-ldl"], check=True)
    return target


class _Page(ctypes.Structure):
    """`struct page` of shim.c."""

    _fields_ = [
        ("mode", ctypes.c_int32),
        ("kinds", ctypes.c_int32),
        ("nth", ctypes.c_int64),
        ("for_ever", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("hang_ms", ctypes.c_int64),
        ("seen", ctypes.c_int64),
        ("struck", ctypes.c_int64),
        ("folder", ctypes.c_char * 512),
        ("named", ctypes.c_char * 64),
    ]


class FaultPage:
    """The page that a preloaded process looks at in each call; it is changed while the process runs."""

    def __init__(self, path: Path) -> None:
        """Maps the page; where there is none yet, it is made, with nothing armed."""
        self._path = path
        if not path.exists():
            path.write_bytes(bytes(ctypes.sizeof(_Page)))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), ctypes.sizeof(_Page))
        self._page = _Page.from_buffer(self._memory)

    def environment(self, shim: Path) -> dict[str, str]:
        """The environment of a process that is to have the shim."""
        return {**os.environ, "LD_PRELOAD": str(shim), "FAULT_PAGE": str(self._path)}

    def arm(
        self,
        mode: Mode,
        folder: Path,
        nth: int = 1,
        *,
        kinds: Kind = CHANGES,
        error: int = errnos.EIO,
        for_ever: bool = False,
        hang_s: float = 0.0,
        named: str = "",
    ) -> None:
        """From now on: `mode` at the nth call of these kinds on a file below `folder` (or at each from it on)."""
        page = self._page
        page.mode = Mode.OFF
        page.kinds, page.nth, page.for_ever, page.error = kinds, nth, for_ever, error
        page.hang_ms, page.folder, page.named = round(hang_s * 1000), os.fsencode(folder.resolve()), named.encode()
        page.seen = page.struck = 0
        page.mode = mode

    def disarm(self) -> None:
        """Nothing happens any more; a call that hangs goes on."""
        self._page.mode = Mode.OFF

    @property
    def seen(self) -> int:
        """Calls counted since it was armed."""
        return int(self._page.seen)

    @property
    def struck(self) -> int:
        """Calls at which something happened."""
        return int(self._page.struck)

    def close(self) -> None:
        """Lets go of the memory."""
        del self._page
        self._memory.close()
