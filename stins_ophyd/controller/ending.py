"""How a series is ended: in good order, or as well as that can be done."""

import logging
import time
from collections.abc import Callable

from stins.control import AcquirerStatus, StopRequest
from stins.errors import RemoteError

from .awaited import until_closed, until_ended
from .peers import Peers
from .remedies import Cause, Debt
from .series import Series
from .snapshot import Role, Snapshot

__all__ = ["abandon", "await_the_end", "end", "insist"]

log = logging.getLogger(__name__)

_AGAIN_S = 0.25


def end(peers: Peers, series: Series, step: str) -> tuple[Snapshot, RemoteError | None]:
    """Tells the acquirer, else the recorder, and waits until the file is closed; why the acquirer could not be told.

    Raises:
        RemoteError: neither could be told, or the file does not get closed.
    """
    problem = _tell_the_acquirer(peers, series, step)
    if problem is not None:
        # The series-end will not come: the recorder has to close the file without it.
        stop = StopRequest.because(_untold(problem))
        try:
            peers.recorder.post("/stop", stop, step="stop", timeout_s=peers.deadlines.command_s)
        except RemoteError as error:
            log.warning("%s", error)
            raise problem from error
    closed = until_closed(step, series.id, peers.deadlines.close_s, heed_acquirer=problem is None)
    return peers.observer.wait(closed), problem


def _untold(problem: RemoteError) -> str:
    """What the file is to say where the acquirer did not end the series."""
    return f"the acquirer could not end it: {problem.problem}"


def _tell_the_acquirer(peers: Peers, series: Series, step: str) -> RemoteError | None:
    """Tells it to end the series; why it cannot."""
    try:
        told = peers.acquirer.post(f"/{step}", step=step, timeout_s=peers.ending_s("acquirer"))
    except RemoteError as error:
        return error
    if told.boot_id != series.acquirer_boot:  # it says yes, and knows nothing of the series
        return peers.observer.error(step, Debt("acquirer", f"restarted in the middle of {series.id}", Cause.ENDED))
    return None


def insist(peers: Peers, command: Callable[[], object]) -> None:
    """Gives a command again while it is refused: a recorder that starts its writer again refuses for a moment."""
    deadline = time.monotonic() + peers.deadlines.command_s
    while True:
        try:
            command()
            return
        except RemoteError:
            if time.monotonic() > deadline:
                raise
        peers.observer.rest(_AGAIN_S)


def abandon(peers: Peers, series_id: str | None, why: str) -> bool:
    """Tells both to end what is armed; whether the end of that series is on its way. It never raises."""
    acquirer = peers.snapshot.acquirer
    whose = f"detector {acquirer.name!r}" if acquirer else f"the detector at {peers.acquirer.url}"
    log.warning("%s: series %s is abandoned: %s", whose, series_id, why)
    aborted: AcquirerStatus | None = None
    stop = StopRequest.because(why)
    try:
        aborted = peers.acquirer.post("/abort", step="abort", timeout_s=_briefly(peers, "acquirer"))
    except RemoteError as error:
        log.warning("%s", error)
        stop = StopRequest.because(f"{why}; {_untold(error)}")
    try:
        peers.recorder.post("/stop", stop, step="abort", timeout_s=_briefly(peers, "recorder"))
    except RemoteError as error:
        log.warning("%s", error)
        return False
    return bool(series_id) and aborted is not None and aborted.series_id == series_id


def _briefly(peers: Peers, role: Role) -> float:
    """How long one of them is waited for that may have nothing to end."""
    return min(peers.ending_s(role), peers.deadlines.command_s)


def await_the_end(peers: Peers, series_id: str) -> None:
    """The acquirer had sent the series-start; it and the series-end may still be on their way to the recorder."""
    try:
        peers.observer.wait(until_ended(series_id, peers.deadlines.command_s))
    except RemoteError as error:
        log.warning("%s", error)
