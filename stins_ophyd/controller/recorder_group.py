"""Several recorders that share each series, with the interface of one: commands go to all, statuses become one."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from stins import RemoteError
from stins.control import JoinRequest, PrepareRequest, RecorderStatus, SeriesStatus
from stins.daemon.client import DaemonClient, Watch

from .fold import dealt, fold, silence
from .ledger import Ledger, Member, Shown

__all__ = ["GroupWatch", "RecorderGroup"]

log = logging.getLogger(__name__)

_JOIN_S = 90.0
#: So long a series lasts at least whose parts are shown as one file before its end.
_SHOWN_AFTER_S = 1.0
#: What a recorder that is gone need not hear.
_FOR_THE_LIVING = ("/stop",)

Changed = Callable[[RecorderStatus], None]
Lost = Callable[[str], None]


class RecorderGroup:
    """The recorders at `urls`, by their share. While it is watched it has the parts of each series joined at its end.

    A series is over, for whoever watches, when its joined file stands. One that is silent for `away_s` is not waited
    for any longer: a recorder that comes back goes on with its part, and the parts are joined again.

    Every call raises `RemoteError`, which names the recorder, the step and the endpoint.
    """

    def __init__(self, urls: Sequence[str], token: str | None = None, away_s: float = 10.0) -> None:
        self.name = "recorder"
        self.url = ", ".join(urls)
        self._clients = [
            DaemonClient(f"recorder {index}", url, RecorderStatus, token) for index, url in enumerate(urls)
        ]
        self._away_s = away_s
        self._pool = ThreadPoolExecutor(len(urls), "recorders")
        self._watch: GroupWatch | None = None

    def status(self, timeout_s: float = 2.0) -> RecorderStatus:
        """The state of all of them now."""
        return _folded(self._of_all(lambda client, _: client.status(timeout_s)))

    def post(
        self,
        path: str,
        request: msgspec.Struct | Mapping[str, object] | None = None,
        *,
        step: str = "",
        timeout_s: float = 5.0,
    ) -> RecorderStatus:
        """Gives a command to all and returns their status after it; all are told, then the first refusal is raised."""
        requests: Sequence[msgspec.Struct | Mapping[str, object] | None] = [request] * len(self._clients)
        if isinstance(request, PrepareRequest):
            if self._watch is not None:
                self._watch.prepared(request)
            requests = dealt(request, len(self._clients))
        replies = self._of_all(
            lambda client, index: client.post(path, requests[index], step=step, timeout_s=timeout_s),
            living=path in _FOR_THE_LIVING,
        )
        if path == "/reset" and self._watch is not None:
            self._watch.forgive()
        return _folded(replies)

    def watch(self, changed: Changed, lost: Lost) -> "GroupWatch":
        """Calls `changed` with each status of the whole and `lost` (with the reason) when one of them falls silent."""
        self._watch = GroupWatch(self._clients, changed, lost, self._away_s)
        return self._watch

    def close(self) -> None:
        """Ends the watch and closes the connections. Closing twice does no harm."""
        if self._watch is not None:
            self._watch.close()
        for client in self._clients:
            client.close()
        self._pool.shutdown()

    def _of_all(
        self, call: Callable[[DaemonClient[RecorderStatus], int], RecorderStatus], *, living: bool = False
    ) -> list[RecorderStatus | RemoteError]:
        calls = [self._pool.submit(_tried, call, client, index) for index, client in enumerate(self._clients)]
        replies = [each.result() for each in calls]
        errors = [reply for reply in replies if isinstance(reply, RemoteError)]
        if errors and not (living and len(errors) < len(replies)):
            raise errors[0]
        return replies


class GroupWatch:
    """Watches all of them, and has one of them join the parts of a series that is over."""

    def __init__(
        self, clients: Sequence[DaemonClient[RecorderStatus]], changed: Changed, lost: Lost, away_s: float
    ) -> None:
        self._clients = clients
        self._changed, self._lost = changed, lost
        self._away_s = away_s
        self._ledger = Ledger(members=tuple(Member() for _ in clients))
        self._silent_since: dict[int, float] = {}
        self._closed = False
        self._began = 0.0
        self._showing: threading.Thread | None = None
        # Reentrant: whoever is told may look again. It orders what is told, and wakes the joining thread.
        self._news = threading.Condition(threading.RLock())
        self._watches: list[Watch[RecorderStatus]] = [
            client.watch(self._hears(index), self._misses(index)) for index, client in enumerate(clients)
        ]
        self._thread = threading.Thread(target=self._run, name="join", daemon=True)
        self._thread.start()

    def prepared(self, order: PrepareRequest) -> None:
        """The series that is to be joined at its end."""
        with self._news:
            self._began = time.monotonic()
            self._update(lambda ledger: ledger.prepared(order))

    def forgive(self) -> None:
        """A series that could not be joined is no fault any more."""
        self._update(lambda ledger: ledger.forgiven())

    def close(self) -> None:
        """Ends it. Closing twice does no harm."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        for watch in self._watches:
            watch.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)
            if self._showing is not None:
                self._showing.join(_JOIN_S)

    def _hears(self, index: int) -> Changed:
        def heard(status: RecorderStatus) -> None:
            with self._news:
                self._silent_since.pop(index, None)
                self._update(lambda ledger: ledger.heard(index, status))

        return heard

    def _misses(self, index: int) -> Lost:
        def silent(why: str) -> None:
            with self._news:
                self._silent_since.setdefault(index, time.monotonic())
                self._update(lambda ledger: ledger.silent(index, why))

        return silent

    def _update(self, change: Callable[[Ledger], Ledger]) -> None:
        with self._news:
            self._ledger = change(self._ledger)
            self._news.notify_all()
            why = silence(self._ledger)
            if why:
                self._lost(why)
            else:
                self._changed(fold(self._ledger))

    # -- joining --------------------------------------------------------------------------------

    def _run(self) -> None:
        """One after the other."""
        while (found := self._await_work()) is not None:
            work, request = found
            work(request)

    def _await_work(self) -> tuple[Callable[[JoinRequest], None], JoinRequest] | None:
        """What is to be done next with the parts of a series, and how; None once closed."""
        with self._news:
            while not self._closed:
                if request := self._ledger.to_join:
                    self._ledger = self._ledger.trying()
                    return self._join, request
                if request := self._ledger.to_hide:
                    self._ledger = self._ledger.showing(Shown.HIDDEN)
                    return self._hide, request
                waits = [self._give_up()]
                if request := self._ledger.to_show:
                    # A series that is over at once is not worth it.
                    if (left := self._began + _SHOWN_AFTER_S - time.monotonic()) <= 0:
                        self._ledger = self._ledger.showing(Shown.SHOWN)
                        return self._show, request
                    waits.append(left)
                self._news.wait(min((each for each in waits if each is not None), default=None))
            return None

    def _join(self, request: JoinRequest) -> None:
        joined, problem = _joined(self._living, request)
        self._update(lambda ledger: ledger.tried(request, joined, problem))

    def _show(self, request: JoinRequest) -> None:
        """Beside: it has the time that is left, and a series that ends meanwhile must not wait for it."""
        self._showing = threading.Thread(target=self._try, args=("/show", request), name="show", daemon=True)
        self._showing.start()

    def _hide(self, request: JoinRequest) -> None:
        if self._showing is not None:
            self._showing.join(_JOIN_S)
        self._try("/hide", request)

    def _try(self, path: str, request: JoinRequest) -> None:
        """What the series does not need: where nobody can, it can be read when it is over."""
        for client in self._living:
            try:
                client.post(path, request, timeout_s=_JOIN_S)
            except RemoteError as error:
                log.warning("%s", error)
            else:
                return

    @property
    def _living(self) -> list[DaemonClient[RecorderStatus]]:
        members = self._ledger.members
        return [client for client, member in zip(self._clients, members, strict=True) if member.status is not None]

    def _give_up(self) -> float | None:
        """Gives up those that have been silent for too long; seconds until the next one is."""
        now, waits = time.monotonic(), []
        for index, since in list(self._silent_since.items()):
            left = since + self._away_s - now
            if left > 0:
                waits.append(left)
            elif not self._ledger.members[index].given_up:
                self._ledger = self._ledger.given_up(index)
                waits.append(0.0)
        return min(waits, default=None)


def _tried(
    call: Callable[[DaemonClient[RecorderStatus], int], RecorderStatus],
    client: DaemonClient[RecorderStatus],
    index: int,
) -> RecorderStatus | RemoteError:
    try:
        return call(client, index)
    except RemoteError as error:
        return error


def _joined(clients: Sequence[DaemonClient[RecorderStatus]], request: JoinRequest) -> tuple[SeriesStatus | None, str]:
    """The account of the joined file from the first recorder that can write it, or why none can."""
    problems = []
    for client in clients:
        try:
            return client.post("/join", request, timeout_s=_JOIN_S).joined, ""
        except RemoteError as error:
            log.warning("%s", error)
            problems.append(str(error))
    return None, f"the parts of {request.filename} stand, but could not be joined: {'; '.join(problems)}"


def _folded(replies: Sequence[RecorderStatus | RemoteError]) -> RecorderStatus:
    ledger = Ledger(members=tuple(Member() for _ in replies))
    for index, reply in enumerate(replies):
        if isinstance(reply, RecorderStatus):
            ledger = ledger.heard(index, reply)
    return fold(ledger)
