"""Joins in a process of its own: HDF5 on files of others may take long, hang or crash."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from stins.control import JoinRequest, SeriesStatus
from stins.share import whole_name

from ..errors import RecorderError

__all__ = ["LIMIT_S", "Order", "Outcome", "run_join", "run_join_by_hand", "run_show"]

LIMIT_S = 60.0
#: Of what is done while frames come.
_NICE = 19


Step: TypeAlias = Literal["join", "show", "hide"]


class Order(msgspec.Struct, frozen=True):
    """What the process is to do; without a request, what the parts of `file` say of themselves."""

    roots: list[str]
    file: str
    request: JoinRequest | None = None
    step: Step = "join"


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it."""

    account: SeriesStatus | None = None
    error: str = ""


def run_join(roots: Sequence[Path], request: JoinRequest, limit_s: float = LIMIT_S) -> SeriesStatus:
    """`join_parts`, within a time limit.

    Raises:
        RecorderError: it was refused, failed, or took too long; the parts are as they were.
    """
    return _joined(Order([str(root) for root in roots], request.filename, request), limit_s)


def run_join_by_hand(file: Path, limit_s: float = LIMIT_S) -> SeriesStatus:
    """Joins the parts of `file` (itself, or one of them) as they stand; raises as `run_join` does."""
    return _joined(Order([str(file.parent.resolve())], whole_name(file.name)), limit_s)


def run_show(roots: Sequence[Path], request: JoinRequest, *, hide: bool = False, limit_s: float = LIMIT_S) -> None:
    """`show_parts` (or `hide_parts`), within a time limit; the series runs meanwhile, so it has the time that is left.

    Raises:
        RecorderError: it was refused, failed, or took too long; the parts are as they were.
    """
    _run(Order([str(root) for root in roots], request.filename, request, "hide" if hide else "show"), limit_s)


def _joined(order: Order, limit_s: float) -> SeriesStatus:
    account = _run(order, limit_s)
    assert account is not None  # noqa: S101  # a joined file has one
    return account


def _run(order: Order, limit_s: float) -> SeriesStatus | None:
    """The account of a joined file; of one that is only shown there is none that could be told."""
    what, command = f"{order.step} {order.file}", [sys.executable, "-m", __package__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if order.step != "join":
            with suppress(OSError):  # it may have ended already
                os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
        try:
            said, _ = process.communicate(msgspec.json.encode(order), timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise RecorderError(f"{what}: not done within {limit_s:g} s; the file system may hang") from None
    try:
        outcome = msgspec.json.decode(said, type=Outcome)
    except msgspec.DecodeError:
        raise RecorderError(f"{what}: its process ended with status {process.returncode}; see its messages") from None
    if outcome.error:
        raise RecorderError(f"{what}: {outcome.error}")
    return outcome.account
