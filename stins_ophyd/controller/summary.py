"""What a detector does and what became of its last series, at a glance: as a line, as text, as HTML. No I/O."""

from html import escape
from typing import Final

import msgspec

from stins.control import SeriesState, SeriesStatus

from .snapshot import Snapshot
from .states import CombinedState

__all__ = ["Summary", "summarize"]

#: What is green, what is red; everything else is under way.
_GOOD, _BAD, _BUSY = "#1a7f37", "#cf222e", "#9a6700"
_COLOURS: Final = {CombinedState.IDLE: _GOOD, CombinedState.FAULT: _BAD, CombinedState.OFFLINE: _BAD}


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One detector at one moment; `series` is the account of its present or last series, as the recorder has it.

    `drop_reason` is why the detector itself did not give frames of it, in the acquirer's words.
    `away`: the recorder is not heard now, and the account is the last that was.
    """

    state: CombinedState
    reason: str = ""
    drop_reason: str = ""
    series: SeriesStatus | None = None
    frames_per_s: float | None = None
    away: bool = False

    @property
    def frames(self) -> str:
        """How many frames are in the file (or came, without one), and how many are not: `98 of 100, 2 missing`."""
        series = self.series
        if series is None:
            return "no series yet"
        expected = f" of {series.frames_expected}" if series.frames_expected is not None else ""
        there = f"{series.written}{expected}" if series.file else f"{series.received}{expected} received"
        others = [f"{count} {what}" for what, count in _others(series) if count]
        return ", ".join([there + self._when, *self._missing, *others])

    @property
    def _missing(self) -> tuple[str, ...]:
        """How many frames are missing; of a series that may have gone on unheard, only that some are."""
        missing = self.series.missing if self.series else 0
        if not missing and self._when:
            return ()
        # Of points nobody knows how many were to come: none of those that came is missing, and the series is not whole.
        return ("ended early" if self._cut_short and not missing else f"{missing or 'none'} missing",)

    @property
    def _when(self) -> str:
        """An account of a series that is over stays as it is."""
        unheard = self.away and self.series is not None and self.series.state is SeriesState.OPEN
        return " when last heard" if unheard else ""

    @property
    def rate(self) -> str:
        """Frames per second; empty where it is not known."""
        return "" if self.frames_per_s is None else f"{self.frames_per_s:.4g} frames/s"

    @property
    def file(self) -> str:
        """Where the frames are, and how the series stands: `/data/x.nxs (complete)`."""
        series = self.series
        if series is None:
            return ""
        return f"{series.file or 'not recorded'} ({series.state.value}{self._when})"

    @property
    def why(self) -> str:
        """What is wrong: with the detector, else with the series; empty where nothing is."""
        return self.reason or (self.series.reason if self.series is not None and self._cut_short else "")

    @property
    def rows(self) -> dict[str, str]:
        """What there is to say, by what it is."""
        told = {
            "frames": self.frames,
            "dropped": self.drop_reason,
            "rate": self.rate,
            "file": self.file,
            "reason": self.why,
        }
        return {what: text for what, text in told.items() if text}

    @property
    def _cut_short(self) -> bool:
        return self.series is not None and self.series.state not in (SeriesState.OPEN, SeriesState.COMPLETE)

    @property
    def lossless(self) -> bool:
        """Whether nothing is missing of what was to be recorded."""
        series = self.series
        return series is None or not (series.missing or self._cut_short)

    def line(self, name: str) -> str:
        """All in one line."""
        return f"{name} {'; '.join([self.state.value.upper(), *self.rows.values()])}"

    def text(self, name: str) -> str:
        """A line for each thing."""
        return "\n".join(
            [f"{name}  {self.state.value.upper()}", *(f"  {what:8}{text}" for what, text in self.rows.items())]
        )

    def html(self, name: str) -> str:
        """A small table; the state, and frames that are missing, stand out by their colour."""
        rows = "".join(self._row(what, text) for what, text in self.rows.items())
        colour = _COLOURS.get(self.state, _BUSY)
        badge = f'<span style="background:{colour};color:white;border-radius:4px;padding:1px 8px">'
        state = f"{badge}{escape(self.state.value.upper())}</span>"
        return f"<table><tr><th>{escape(name)}</th><td>{state}</td></tr>{rows}</table>"

    def _row(self, what: str, text: str) -> str:
        bad = what in ("dropped", "reason") or (what == "frames" and not self.lossless)
        style = f' style="color:{_BAD};font-weight:bold"' if bad else ""
        return f'<tr><th style="text-align:left">{what}</th><td{style}>{escape(text)}</td></tr>'


def summarize(snapshot: Snapshot, frames_per_s: float | None = None, last_heard: SeriesStatus | None = None) -> Summary:
    """What that snapshot says; where the recorder is not heard, of the series what it said last."""
    return Summary(
        state=snapshot.state,
        reason=snapshot.reason,
        # Not in the snapshot's reason: its text grows while more is lost, and each change of that is told.
        drop_reason=snapshot.acquirer.drop_reason if snapshot.acquirer else "",
        series=snapshot.recorder.series if snapshot.recorder else last_heard,
        frames_per_s=frames_per_s,
        away=snapshot.recorder is None,
    )


def _others(series: SeriesStatus) -> tuple[tuple[str, int], ...]:
    return ("discarded", series.discarded), ("retaken", series.retaken)
