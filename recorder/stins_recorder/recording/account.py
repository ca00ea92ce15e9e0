"""The published account of a series. Pure values."""

import msgspec

from stins import SeriesResult, Spans
from stins.control import SeriesStatus
from stins.share import ALL, frames_in

from ..series.series_file import DATASET, SeriesFile

__all__ = ["LISTED_RANGES", "closing", "counted", "cut_short", "line", "placed", "rewritten", "unbalanced"]

#: How many ranges of missing frames a status carries; the file has all of them.
LISTED_RANGES = 100


def counted(
    series: SeriesStatus,
    result: SeriesResult,
    missing: tuple[tuple[int, int], ...],
    *,
    refused: int,
    recorded: bool,
) -> SeriesStatus:
    """The account with the machine's counts; `missing` has the frames too that came and could not be written."""
    count = frames_in(missing, result.share)
    unwritten = count - result.missing_count
    return msgspec.structs.replace(
        series,
        share=result.share,
        frames_expected=result.frames_expected,
        frames_total=None if result.end is None else result.end.frames_total or None,
        received=result.received - unwritten,
        written=result.stored - unwritten if recorded else 0,
        rows=series.rows if recorded else result.rows,
        discarded=result.discarded,
        retaken=result.retaken,
        missing=count,
        missing_frames=missing[:LISTED_RANGES],
        duplicates=result.duplicates,
        refused=result.refused + refused,
        sender_reason=result.sender_reason,
    )


def rewritten(series: SeriesStatus, row: int | None) -> SeriesStatus:
    """The account once rows from this one on hold something else; nobody knows of those that were not published."""
    if row is None or row >= series.rows:
        return series
    return msgspec.structs.replace(series, generation=series.generation + 1, rewound_to=row)


def placed(series: SeriesStatus, file: SeriesFile, rows: int) -> SeriesStatus:
    """The account with what stands where."""
    durable = min(series.written, file.durable)
    series = msgspec.structs.replace(series, file=str(file.path), rows=min(rows, file.rows), durable=durable)
    layout = file.frames_layout
    if layout is None:
        return series
    return msgspec.structs.replace(
        series, dataset=DATASET, shape=layout.shape, chunk_shape=file.chunk_shape, dtype=layout.dtype
    )


def cut_short(series: SeriesStatus) -> SeriesStatus:
    """The account of a series with a file that nobody goes on with: of the frames expected, what has not come will not.

    It knows the ranges of missing frames that a status lists.
    """
    frames, expected = series.share or ALL, series.frames_expected or 0
    passed = series.written + series.discarded + series.missing
    missing = Spans(frames.inside(series.missing_frames))
    missing.add(passed, expected - 1)
    return msgspec.structs.replace(
        series,
        missing=max(series.missing, expected - series.written - series.discarded),
        missing_frames=frames.outside(missing)[:LISTED_RANGES],
    )


def closing(series: SeriesStatus) -> dict[str, object]:
    """What the file says of itself in its end."""
    keys = ("received", "written", "discarded", "retaken", "missing", "duplicates", "refused", "reason")
    total = {} if series.frames_total is None else {"frames_total": series.frames_total}
    return {"outcome": series.state.value, **{key: getattr(series, key) for key in keys}, **total}


def unbalanced(series: SeriesStatus) -> str:
    """Which sum of a series that has ended does not hold; empty if the account adds up."""
    stored = series.written + series.discarded
    if series.received != stored + series.retaken:
        return f"received {series.received}, expected {stored + series.retaken} (written + discarded + retaken)"
    expected = series.frames_expected
    if expected is not None and stored + series.missing < expected:
        return f"frames_expected {expected}, got {stored + series.missing} (written + discarded + missing)"
    return ""


def line(series: SeriesStatus) -> str:
    """One line a series for the log."""
    counts = f"{series.received} received, {series.written} written, {series.discarded} discarded"
    return (
        f"series {series.series_id} {series.state.value}: {counts}, {series.missing} missing; {series.reason or 'ok'}"
    )
