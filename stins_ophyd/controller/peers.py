"""The two processes of a detector, and what is heard of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from stins.control import AcquirerStatus, RecorderStatus
from stins.daemon.client import DaemonClient

from .deadlines import Deadlines
from .observer import Observer
from .recorder_group import RecorderGroup
from .snapshot import Role, Snapshot

__all__ = ["Peers"]


@dataclass
class Peers:
    """Their clients, the one who hears both, and how long each may take, which may be set anew."""

    acquirer: DaemonClient[AcquirerStatus]
    recorder: DaemonClient[RecorderStatus] | RecorderGroup
    observer: Observer
    deadlines: Deadlines

    @classmethod
    def at(
        cls,
        acquirer_url: str,
        recorder_url: str | Sequence[str],
        deadlines: Deadlines,
        tokens: tuple[str | None, str | None],
    ) -> "Peers":
        """Those at these addresses; several recorders are seen as one. `tokens`: the acquirer's, the recorder's."""
        acquirer = DaemonClient("acquirer", acquirer_url, AcquirerStatus, tokens[0])
        urls = [recorder_url] if isinstance(recorder_url, str) else list(recorder_url)
        recorder: DaemonClient[RecorderStatus] | RecorderGroup
        if len(urls) > 1:
            recorder = RecorderGroup(urls, tokens[1], deadlines.away_s)
        else:
            recorder = DaemonClient("recorder", urls[0], RecorderStatus, tokens[1])
        return cls(acquirer, recorder, Observer(acquirer, recorder, deadlines), deadlines)

    @property
    def snapshot(self) -> Snapshot:
        """What is known now."""
        return self.observer.snapshot

    @property
    def stall_s(self) -> float:
        """For how long nothing may come of a series that runs."""
        acquirer = self.snapshot.acquirer
        return self.deadlines.stall_of(acquirer.interval_s if acquirer else 0.0)

    def ending_s(self, role: Role) -> float:
        """A process that has fallen silent is still told to end (it may come to itself), but hardly waited for."""
        return self.deadlines.offline_s if getattr(self.snapshot, role) is None else self.deadlines.close_s

    def close(self) -> None:
        """Stops hearing them. Closing twice does no harm."""
        self.observer.close()
        self.acquirer.close()
        self.recorder.close()
