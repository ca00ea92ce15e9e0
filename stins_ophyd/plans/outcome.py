"""What became of a flight, in a line for whoever looks on: its frames are no events, and a table of it stays empty."""

from collections.abc import Iterable

from ..device import StinsDetector
from .support import Messages

__all__ = ["told_at_the_end"]


def told_at_the_end(plan: Messages, detectors: Iterable[object], *, counts: bool = False) -> Messages:
    """The plan; afterwards, however it ended, a line is printed for each detector of ours that had a series in it.

    It has frames, rate, file and outcome; `counts`: and those of the last frame.
    """
    ours = [detector for detector in detectors if isinstance(detector, StinsDetector)]
    before = [_series_of(detector) for detector in ours]
    try:
        return (yield from plan)
    finally:
        for detector, series in zip(ours, before, strict=True):
            if _series_of(detector) != series:  # in summarize_plan there is none
                print(_line(detector, counts))


def _series_of(detector: StinsDetector) -> str | None:
    recorder = detector.controller.snapshot.recorder
    return recorder.series.series_id if recorder and recorder.series else None


def _line(detector: StinsDetector, counts: bool) -> str:
    summary = detector.controller.summary
    told = f"{detector.name}: frames {'; '.join(summary.rows.values())}"
    if counts:
        told += f"; the last one: total {detector.total.get():g}, maximum {detector.maximum.get():g}"
    return told
