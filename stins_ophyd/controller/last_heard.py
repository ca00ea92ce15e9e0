"""What the recorder said last of a series, for whoever asks while it is not heard."""

from stins.control import SeriesStatus

from .snapshot import Snapshot

__all__ = ["LastHeard"]


class LastHeard:
    """Keeps the account of the present or the last series: a listener for `Controller.subscribe`."""

    def __init__(self) -> None:
        self.series: SeriesStatus | None = None

    def __call__(self, snapshot: Snapshot) -> None:
        """Takes what is known now, where the recorder is heard."""
        if snapshot.recorder is not None:
            self.series = snapshot.recorder.series
