"""Joins in a process of its own: HDF5 on files of others may take long, hang or crash."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stins.control import JoinRequest, SeriesStatus

from ..errors import RecorderError

__all__ = ["Order", "Outcome", "run_join"]

_LIMIT_S = 60.0


class Order(msgspec.Struct, frozen=True):
    """What the process is to do."""

    roots: list[str]
    request: JoinRequest


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it."""

    account: SeriesStatus | None = None
    error: str = ""


def run_join(roots: Sequence[Path], request: JoinRequest, limit_s: float = _LIMIT_S) -> SeriesStatus:
    """`join_parts`, within a time limit.

    Raises:
        RecorderError: it was refused, failed, or took too long; the parts are as they were.
    """
    order = msgspec.json.encode(Order([str(root) for root in roots], request))
    command = [sys.executable, "-m", __package__]
    what = f"join {request.filename}"
    try:
        done = subprocess.run(command, input=order, stdout=subprocess.PIPE, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise RecorderError(f"{what}: not done within {limit_s:g} s; the file system may hang") from None
    try:
        outcome = msgspec.json.decode(done.stdout, type=Outcome)
    except msgspec.DecodeError:
        raise RecorderError(f"{what}: its process ended with status {done.returncode}; see its messages") from None
    if outcome.account is None:
        raise RecorderError(f"{what}: {outcome.error}")
    return outcome.account
