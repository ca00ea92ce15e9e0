"""Joins in a process of its own: HDF5 on files of others may take long, hang or crash."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stins.control import JoinRequest, SeriesStatus
from stins.share import whole_name

from ..errors import RecorderError

__all__ = ["LIMIT_S", "Order", "Outcome", "run_join", "run_join_by_hand"]

LIMIT_S = 60.0


class Order(msgspec.Struct, frozen=True):
    """What the process is to do; without a request, what the parts of `file` say of themselves."""

    roots: list[str]
    file: str
    request: JoinRequest | None = None


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it."""

    account: SeriesStatus | None = None
    error: str = ""


def run_join(roots: Sequence[Path], request: JoinRequest, limit_s: float = LIMIT_S) -> SeriesStatus:
    """`join_parts`, within a time limit.

    Raises:
        RecorderError: it was refused, failed, or took too long; the parts are as they were.
    """
    return _run(Order([str(root) for root in roots], request.filename, request), limit_s)


def run_join_by_hand(file: Path, limit_s: float = LIMIT_S) -> SeriesStatus:
    """Joins the parts of `file` (itself, or one of them) as they stand; raises as `run_join` does."""
    return _run(Order([str(file.parent.resolve())], whole_name(file.name)), limit_s)


def _run(order: Order, limit_s: float) -> SeriesStatus:
    what, command = f"join {order.file}", [sys.executable, "-m", __package__]
    try:
        done = subprocess.run(
            command, input=msgspec.json.encode(order), stdout=subprocess.PIPE, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise RecorderError(f"{what}: not done within {limit_s:g} s; the file system may hang") from None
    try:
        outcome = msgspec.json.decode(done.stdout, type=Outcome)
    except msgspec.DecodeError:
        raise RecorderError(f"{what}: its process ended with status {done.returncode}; see its messages") from None
    if outcome.account is None:
        raise RecorderError(f"{what}: {outcome.error}")
    return outcome.account
