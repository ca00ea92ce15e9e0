"""Salvages in a process of its own: a damaged file may hang or crash HDF5."""

import subprocess
import sys
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

__all__ = ["LIMIT_S", "Found", "Order", "Salvaged", "run_salvage"]

LIMIT_S = 60.0

#: `whole`: nothing was wrong; `in use`: somebody writes it; `no room`: not yet; `cut short`: it was closed in good
#: order, and a part of it is gone; `not done`: it is none to be salvaged, or not by itself; `lost`: nothing could be
#: done. Only `salvaged` was changed.
Found: TypeAlias = Literal["whole", "in use", "salvaged", "no room", "cut short", "not done", "lost"]


class Order(msgspec.Struct, frozen=True):
    """What the process is to do. `reason` stands in the file; `given_up`: a writer that lives has let go of it."""

    path: str
    reason: str
    given_up: bool


class Salvaged(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and done."""

    path: str
    found: Found
    text: str
    rows: int | None = None
    missing: int | None = None


def run_salvage(path: Path, *, reason: str, given_up: bool = False, limit_s: float = LIMIT_S) -> Salvaged:
    """Salvages one file within a time limit; what goes wrong is in the answer."""
    order = msgspec.json.encode(Order(str(path), reason, given_up))
    command = [sys.executable, "-m", __package__]
    try:
        done = subprocess.run(command, input=order, stdout=subprocess.PIPE, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        text = f"not done within {limit_s:g} s: HDF5 hangs on what is left of it, or the file system does"
        return Salvaged(path=str(path), found="lost", text=text)
    try:
        return msgspec.json.decode(done.stdout, type=Salvaged)
    except msgspec.DecodeError:
        text = f"the process that looked at it ended with status {done.returncode}; see its messages"
        return Salvaged(path=str(path), found="lost", text=text)
