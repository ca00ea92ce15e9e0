"""The account of a whole series, from those of its parts. Pure values."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from stins import Share
from stins.control import JoinRequest, SeriesState, SeriesStatus
from stins.series import missing_words

from ..recording.account import LISTED_RANGES
from .part import Numbers, PartFile, UnreadablePartError
from .rows import place, ranges

__all__ = ["Found", "Whole", "whole_of"]

#: What stands for each share.
Found = PartFile | UnreadablePartError

#: Among how many frames the ranges of missing ones are looked for that a status carries; the file has all.
_LOOKED_AT = 100_000
#: A sentence of a part that is said anew of the whole.
_MISSING = re.compile(r"[0-9]+ (frame is|frames are) missing")
_COUNTS = ("received", "written", "discarded", "retaken", "duplicates", "refused")


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A series: its parts as far as they can be read, the frame number of each row, the frames that are missing."""

    parts: tuple[PartFile, ...]
    numbers: Numbers
    missing: Numbers
    account: SeriesStatus


def whole_of(path: Path, request: JoinRequest, found: Sequence[Found]) -> Whole:
    """The series that is to stand in `path`."""
    parts = tuple(part for part in found if isinstance(part, PartFile))
    missing = _missing(parts, request)
    numbers = place([part.numbers for part in parts], missing)
    listed = ranges(missing[:_LOOKED_AT])[:LISTED_RANGES]
    account = SeriesStatus(
        series_id=request.series_id,
        state=_state(parts, request, missing),
        reason="; ".join(_reasons(found, len(missing))),
        file=str(path),
        frames_expected=request.frames_expected,
        frames_total=max(_said(parts), default=None),
        rows=len(numbers),
        missing=len(missing),
        durable=sum(map(_durable, parts)),
        missing_frames=tuple((int(first), int(last)) for first, last in listed),
    )
    counts = {key: sum(int(part.account.get(key, 0)) for part in parts) for key in _COUNTS}
    return Whole(parts=parts, numbers=numbers, missing=missing, account=msgspec.structs.replace(account, **counts))


def _missing(parts: Sequence[PartFile], request: JoinRequest) -> Numbers:
    """The numbers of all missing frames, rising: what the parts know of, and what nobody has an account of."""
    total = _total(parts, request)
    passed = {part.share.index: part.passed for part in parts}
    shares = [Share(index=index, count=request.count) for index in range(request.count)]
    beyond = [
        np.arange(share.frame(passed.get(share.index, 0)), total, request.count, dtype=np.int64) for share in shares
    ]
    return np.unique(np.concatenate([*(part.missing for part in parts), *beyond]))


def _total(parts: Sequence[PartFile], request: JoinRequest) -> int:
    """How many frames the series has: its start says so, or its end, or else the last frame that anybody knows of."""
    said = _said(parts)
    last = [int(some[-1]) + 1 for part in parts for some in (part.numbers, part.missing) if len(some)]
    return max([request.frames_expected or 0, *said, *([] if said else last)])


def _said(parts: Sequence[PartFile]) -> list[int]:
    return [int(part.account["frames_total"]) for part in parts if "frames_total" in part.account]


def _durable(part: PartFile) -> int:
    """A file gets its end behind a sync of all its frames; of one that failed, that sync may be what has failed."""
    failed = part.account.get("outcome") == SeriesState.FAILED.value
    return 0 if failed else int(part.account.get("written", 0))


def _state(parts: Sequence[PartFile], request: JoinRequest, missing: Numbers) -> SeriesState:
    outcomes = {part.account.get("outcome") for part in parts}
    if SeriesState.FAILED.value in outcomes:
        return SeriesState.FAILED
    complete = outcomes == {SeriesState.COMPLETE.value} and len(parts) == request.count and not len(missing)
    return SeriesState.COMPLETE if complete else SeriesState.INCOMPLETE


def _reasons(found: Sequence[Found], missing: int) -> list[str]:
    """Why the series is not complete: what all parts say, how many frames are missing, what each says beside."""
    said = [_sentences(part) for part in found]
    common = [sentence for sentence in said[0] if all(sentence in others for others in said)]
    own = ["; ".join(sentence for sentence in sentences if sentence not in common) for sentences in said]
    counted = [missing_words(missing)] if missing else []
    return [*common, *counted, *(f"part {index}: {reason}" for index, reason in enumerate(own) if reason)]


def _sentences(part: Found) -> list[str]:
    if isinstance(part, UnreadablePartError):
        return [str(part)]
    sentences = str(part.account.get("reason", "")).split("; ")
    return [sentence for sentence in sentences if sentence and not _MISSING.fullmatch(sentence)]
