"""What the controller knows at one moment, as an immutable value. No I/O."""

from typing import Literal

import msgspec

from stins.control import AcquirerState, AcquirerStatus, Preview, RecorderState, RecorderStatus, SeriesStatus

from .states import COMBINED, CombinedState

__all__ = ["UNHEARD", "Heard", "Role", "Snapshot", "combine"]

Role = Literal["acquirer", "recorder"]


class Heard(msgspec.Struct, frozen=True):
    """The last word of each process; a status that is None comes with the reason why nothing is heard."""

    acquirer: AcquirerStatus | None = None
    recorder: RecorderStatus | None = None
    acquirer_lost: str = "acquirer: nothing heard yet"
    recorder_lost: str = "recorder: nothing heard yet"


UNHEARD = Heard()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The combined state; FAULT, OFFLINE and what is about to go wrong say whose (`culprit`) and why (`reason`).

    So does any other state when frames of the present or the last series were dropped.
    """

    state: CombinedState
    culprit: Role | None = None
    reason: str = ""
    acquirer: AcquirerStatus | None = None
    recorder: RecorderStatus | None = None

    @property
    def previews(self) -> tuple[Preview, ...]:
        """The latest preview; of each, where several recorders are seen as one."""
        recorder = self.recorder
        if recorder is None or recorder.preview is None:
            return ()
        return recorder.previews or (recorder.preview,)

    def series(self, series_id: str) -> SeriesStatus | None:
        """The recorder's account of that series, if it is the one it last had."""
        series = self.recorder.series if self.recorder else None
        return series if series and series.series_id == series_id else None


def combine(heard: Heard, fault: tuple[Role, str] | None = None) -> Snapshot:
    """The snapshot of what was heard; `fault` is what is wrong with the series itself, whatever the states say."""
    acquirer, recorder = heard.acquirer, heard.recorder
    state = COMBINED[acquirer.state if acquirer else None, recorder.state if recorder else None]
    culprit, reason = _blame(state, heard)
    if fault and state is not CombinedState.OFFLINE:
        state, (culprit, reason) = CombinedState.FAULT, fault
    return Snapshot(state=state, culprit=culprit, reason=reason, acquirer=acquirer, recorder=recorder)


def _blame(state: CombinedState, heard: Heard) -> tuple[Role | None, str]:
    acquirer, recorder = heard.acquirer, heard.recorder
    problems: list[tuple[Role, str]] = []
    if state is CombinedState.OFFLINE:
        problems += [("acquirer", heard.acquirer_lost)] if acquirer is None else []
        problems += [("recorder", heard.recorder_lost)] if recorder is None else []
    elif state is CombinedState.FAULT:
        if acquirer and acquirer.state is AcquirerState.FAULT:
            problems.append(("acquirer", f"acquirer {acquirer.name!r}: {acquirer.reason}"))
        if recorder and recorder.state is RecorderState.FAULT:
            problems.append(("recorder", f"recorder {recorder.name!r}: {recorder.reason}"))
    elif acquirer and acquirer.frames_dropped:
        # Without their number: it is told as a change of state, and would be told at each frame.
        lost = f"acquirer {acquirer.name!r} had to drop frames of series {acquirer.series_id}; its file lacks them"
        problems.append(("acquirer", lost))
    elif recorder and (recorder.step or recorder.state is RecorderState.RECOVERING):
        # Nothing has failed yet. Without the seconds: it is told as a change of state, and would be told each second.
        trouble = f"hangs in {recorder.step}" if recorder.step else "lost its writer, and another goes on"
        problems.append(("recorder", f"recorder {recorder.name!r} {trouble}"))
    if not problems:
        return None, ""
    return problems[0][0], "; ".join(reason for _, reason in problems)
