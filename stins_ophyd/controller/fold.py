"""Several recorders that share each series, seen as one: functions of what is known of them. No I/O."""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice

import msgspec

from stins import Share
from stins.control import PrepareRequest, Preview, RecorderState, RecorderStatus, SeriesState, SeriesStatus
from stins.share import whole_name

from .ledger import Ledger, Standing
from .numbers import with_numbers

__all__ = ["dealt", "fold", "silence"]

#: How many ranges of missing frames a status carries, as that of one recorder does.
_LISTED_RANGES = 100
_NOTES = 10
_COUNTS = ("received", "written", "durable", "discarded", "retaken", "missing", "duplicates", "refused")
#: The state of all is the first of these that one of them has.
_FIRST = (
    RecorderState.FAULT, RecorderState.RECOVERING, RecorderState.RECORDING, RecorderState.READY, RecorderState.IDLE,
)  # fmt: skip


def dealt(order: PrepareRequest, count: int) -> tuple[PrepareRequest, ...]:
    """What each of so many recorders is to get ready for: its share of the series."""
    shares = [Share(index=index, count=count) for index in range(count)]
    return tuple(msgspec.structs.replace(order, share=share) for share in shares)


def silence(ledger: Ledger) -> str:
    """Why they are not heard; nothing where all are, or where a series goes on, or is told, without the silent ones."""
    silent = [member for member in ledger.members if member.status is None]
    known = ledger.under_way or Standing.GONE in ledger.standings
    if len(silent) < len(ledger.members) and known:
        return ""
    return "; ".join(member.silence for member in silent)


def fold(ledger: Ledger) -> RecorderStatus:
    """All of them as one; at least one must have been heard."""
    heard = [member.status for member in ledger.members if member.status is not None]
    series = _series(ledger)
    faults, away, previews = _faults(ledger), _away(ledger), _previews(heard, series)
    free = [status.free_bytes for status in heard if status.free_bytes is not None]
    prepared = {status.prepared for status in heard}
    first = heard[0]
    roots = tuple(root for root in first.roots if all(root in status.roots for status in heard))
    return msgspec.structs.replace(
        first,
        name=", ".join(member.name for member in ledger.members),
        state=RecorderState.FAULT if faults else RecorderState.RECOVERING if away else _state(heard, series),
        reason="; ".join(faults or away or [status.reason for status in heard if status.reason]),
        boot_id="+".join(status.boot_id for status in heard),
        writer_pid=None,
        restarts=sum(status.restarts for status in heard),
        step=next((status.step for status in heard if status.step), ""),
        sources=tuple(source for status in heard for source in status.sources),
        roots=roots,
        root=roots[0] if roots else "",
        free_bytes=min(free, default=None),
        prepared=first.prepared if len(prepared) == 1 else None,
        series=series,
        joined=ledger.joined,
        preview=max(previews, key=lambda preview: preview.row, default=None),
        previews=previews,
        notes=tuple(dict.fromkeys(note for status in heard for note in status.notes))[-_NOTES:],
    )


def _previews(heard: Sequence[RecorderStatus], series: SeriesStatus | None) -> tuple[Preview, ...]:
    """The last of each, with the row that it has in the joined file."""
    found = [status.preview for status in heard if status.preview is not None]
    if series is None:
        return ()
    return tuple(msgspec.structs.replace(each, row=each.frame_number - series.discarded) for each in found)


def _state(heard: Sequence[RecorderStatus], series: SeriesStatus | None) -> RecorderState:
    state = next(state for state in _FIRST if state in {status.state for status in heard})
    at_rest = state in (RecorderState.READY, RecorderState.IDLE)
    # Closed by each of them, and not joined yet.
    return RecorderState.RECORDING if at_rest and series and series.state is SeriesState.OPEN else state


def _away(ledger: Ledger) -> list[str]:
    return [member.silence for member in ledger.members if member.status is None and not member.given_up]


def _faults(ledger: Ledger) -> list[str]:
    faults = [ledger.problem] if ledger.problem and not ledger.known else []
    for index, member in enumerate(ledger.members):
        status, account = member.status, member.account
        own = Share(index=index, count=len(ledger.members))
        if account is not None and account.state is SeriesState.OPEN and account.share != own:
            faults.append(_crossed(own, member.name, account.share))
        if status is None:
            faults += [member.silence] if member.given_up else []
        elif status.state is RecorderState.FAULT:
            faults.append(f"recorder {status.name!r}: {status.reason}")
        elif member.standing is Standing.LOST and not ledger.over:
            faults.append(f"recorder {status.name!r} was restarted in the middle of the series, and lost it")
    return faults


def _crossed(own: Share, name: str, share: Share | None) -> str:
    got = "all frames" if share is None else f"share {share.index} of {share.count}"
    return (
        f"recorder {name!r} gets {got}, expected share {own.index} of {own.count}; its `sources` must be stream "
        f"{own.index} of the acquirer, whose stream.recorders must be {own.count}"
    )


def _series(ledger: Ledger) -> SeriesStatus | None:
    """The account of the whole series; None until each of them has it."""
    order, accounts = ledger.order, [member.account for member in ledger.members if member.account is not None]
    if ledger.joined is not None:
        return with_numbers(_with_sender(ledger.joined, accounts), ledger)
    if order is None:
        return _unordered(ledger, accounts)
    if len(accounts) < len(ledger.members):
        return None
    series = with_numbers(_summed(accounts, len(ledger.members), order.frames_expected), ledger)
    if ledger.problem:
        return msgspec.structs.replace(series, state=SeriesState.FAILED, reason=ledger.problem)
    return (
        series
        if ledger.settled
        else msgspec.structs.replace(series, state=SeriesState.OPEN, reason="", sender_reason="")
    )


def _unordered(ledger: Ledger, accounts: Sequence[SeriesStatus]) -> SeriesStatus | None:
    """Of a series that somebody else has prepared, and joins."""
    ids = {account.series_id for account in accounts}
    if len(ids) != 1 or len(accounts) < len(ledger.members):
        return None
    told = [member.status.joined for member in ledger.members if member.status is not None]
    joined = next((account for account in told if account is not None and account.series_id in ids), None)
    whole = _with_sender(joined, accounts) if joined else _summed(accounts, len(ledger.members), None)
    return with_numbers(whole, ledger)


def _with_sender(joined: SeriesStatus, accounts: Sequence[SeriesStatus]) -> SeriesStatus:
    """Who joins the parts has only files, in which the sender's reason is among the others."""
    return msgspec.structs.replace(joined, sender_reason=_all_of([account.sender_reason for account in accounts]))


def _all_of(reasons: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


def _summed(accounts: Sequence[SeriesStatus], count: int, expected: int | None) -> SeriesStatus:
    """Those of the shares added up; `rows` are the leading rows of the joined file that stand in the parts."""
    sums = {key: sum(getattr(account, key) for account in accounts) for key in _COUNTS}
    shares = [Share(index=index, count=count) for index in range(count)]
    # In each share all frames before this one are there; so they are in the series before the first of these.
    following = [share.frame(account.rows + account.discarded) for share, account in zip(shares, accounts, strict=True)]
    known = [account.frames_expected for account in accounts]
    like = next((account for account in accounts if account.dataset), accounts[0])
    return msgspec.structs.replace(
        like,
        state=_worst([account.state for account in accounts]),
        reason=_all_of([account.reason for account in accounts]),
        sender_reason=_all_of([account.sender_reason for account in accounts]),
        file=whole_name(like.file) if like.file else None,
        share=None,
        frames_expected=expected if None in known else sum(number or 0 for number in known),
        rows=max(0, min(following) - sums["discarded"]),
        missing_frames=tuple(islice(_missing(shares, accounts), _LISTED_RANGES)),
        # From which of its rows on, each has its own word.
        generation=sum(account.generation for account in accounts),
        rewound_to=0,
        numbers_rows=None,
        numbers_state="none",
        **sums,
    )


def _worst(states: Sequence[SeriesState]) -> SeriesState:
    order = (SeriesState.OPEN, SeriesState.FAILED, SeriesState.INCOMPLETE, SeriesState.COMPLETE)
    return next(state for state in order if state in states)


def _missing(shares: Sequence[Share], accounts: Sequence[SeriesStatus]) -> Iterator[tuple[int, int]]:
    """The missing frames of all shares in order, as ranges."""
    frames = merge(*(_one_by_one(share, account) for share, account in zip(shares, accounts, strict=True)))
    first = last = next(frames, None)
    for frame in frames:
        if last is not None and first is not None and frame > last + 1:
            yield first, last
            first = frame
        last = frame
    if first is not None and last is not None:
        yield first, last


def _one_by_one(share: Share, account: SeriesStatus) -> Iterator[int]:
    for first, last in account.missing_frames:
        for number in range(share.before(first), share.before(last + 1)):
            yield share.frame(number)
