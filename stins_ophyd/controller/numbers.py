"""How far the numbers of frames are: what is waited for, and those of several recorders as one. No I/O."""

from collections.abc import Sequence

import msgspec

from stins import Share
from stins.control import NumbersState, SeriesStatus

from .awaited import Awaited
from .ledger import Ledger, Member
from .remedies import Cause, Debt
from .snapshot import Snapshot

__all__ = ["numbered_rows", "until_numbers", "with_numbers"]


def numbered_rows(series: SeriesStatus) -> int:
    """How many leading rows have all that was asked for of them."""
    if series.numbers_state in ("none", "failed"):
        # What failed is not waited for: its frames are as good as ever.
        return series.rows
    return min(series.rows, series.numbers_rows or 0)


def until_numbers(series_id: str, rows: int | None, timeout_s: float) -> Awaited:
    """So many rows have their numbers, or will not get them; None: all of a series that is over."""

    def there(now: Snapshot) -> int:
        series = now.series(series_id)
        return series.numbers_rows or 0 if series else 0

    def done(now: Snapshot) -> bool:
        series = now.series(series_id)
        if series is None:
            return False
        return series.numbers_state != "open" or (rows is not None and there(now) >= rows)

    def owed(now: Snapshot) -> Debt:
        problem = f"{there(now)} of {'all' if rows is None else rows} frames have their numbers"
        return Debt("recorder", problem, Cause.NOT_NUMBERED)

    return Awaited(
        step="compute the numbers of the frames",
        done=done,
        owed=owed,
        timeout_s=timeout_s,
        progress=there,
        # The frames are safe: whatever is wrong meanwhile, their numbers are computed from the file.
        despite_fault=True,
        recorder_only=True,
        journaled=True,
    )


def with_numbers(series: SeriesStatus, ledger: Ledger) -> SeriesStatus:
    """The account of a series that several share, with how far the numbers of all are."""
    members = [(Share(index=index, count=len(ledger.members)), each) for index, each in enumerate(ledger.members)]
    asked = [(share, each, each.account) for share, each in members if each.account is not None]
    states = {account.numbers_state for _, _, account in asked}
    if not states or "none" in states:
        return series
    following = [
        share.frame((account.numbers_rows or 0) + account.discarded)
        for share, _, account in asked
        if account.numbers_state == "open"
    ]
    rows = min([series.rows, *(max(0, number - series.discarded) for number in following)])
    # Of whoever has the last of these rows, if it is the one that it computed last.
    last = rows - 1 + series.discarded
    values = [
        account.numbers_values
        for share, _, account in asked
        if account.numbers_rows and share.frame(account.numbers_rows - 1 + account.discarded) == last
    ]
    return msgspec.structs.replace(
        series,
        numbers_rows=rows,
        numbers_values=values[0] if values else {},
        numbers_state=_state([each for _, each, _ in asked]),
    )


def _state(members: Sequence[Member]) -> NumbersState:
    """Open as long as one that lives, or may come back, is at it."""
    known = [(member.account.numbers_state, member.given_up) for member in members if member.account is not None]
    if ("open", False) in known:
        return "open"
    return "complete" if all(state == "complete" for state, _ in known) else "failed"
