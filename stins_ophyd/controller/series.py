"""The series that the controller has armed, and what can be wrong with it. No I/O."""

import msgspec

from stins.control import ArmRequest, SeriesState, TriggerMode

from .snapshot import Heard, Role, Snapshot

__all__ = ["Series", "fault_of"]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What was armed, and in which lives of the two processes."""

    id: str
    filename: str | None
    trigger_mode: TriggerMode
    frames_per_trigger: int
    triggers: int | None
    acquirer_boot: str
    recorder_boot: str

    @classmethod
    def of(cls, request: ArmRequest, snapshot: Snapshot) -> "Series":
        """The series of that request, with the processes as they are."""
        assert snapshot.acquirer is not None and snapshot.recorder is not None  # noqa: S101, PT018  # both were heard
        return cls(
            id=request.series_id,
            filename=request.filename,
            trigger_mode=request.trigger_mode,
            frames_per_trigger=request.frames_per_trigger,
            triggers=request.triggers,
            acquirer_boot=snapshot.acquirer.boot_id,
            recorder_boot=snapshot.recorder.boot_id,
        )

    @property
    def frames_expected(self) -> int | None:
        """The frames of the whole series, where that is known."""
        return None if self.triggers is None else self.triggers * self.frames_per_trigger


def fault_of(series: Series, heard: Heard) -> tuple[Role, str] | None:
    """Whose fault it is that this series cannot go on, and why; None while all is well."""
    acquirer, recorder = heard.acquirer, heard.recorder
    if acquirer and acquirer.boot_id != series.acquirer_boot:
        return "acquirer", f"acquirer {acquirer.name!r} restarted in the middle of series {series.id}"
    account = recorder.series if recorder else None
    ours = account is not None and account.series_id == series.id
    if recorder and recorder.boot_id != series.recorder_boot and not ours:
        # One that knows the series has found its journal and goes on with the file.
        return "recorder", f"recorder {recorder.name!r} restarted in the middle of series {series.id}, and lost it"
    if recorder and account and ours and account.state is SeriesState.FAILED:
        return "recorder", f"recorder {recorder.name!r} could not record series {series.id}: {account.reason}"
    return None
