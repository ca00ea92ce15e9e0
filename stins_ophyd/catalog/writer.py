"""Writing runs to a catalogue without holding up the RunEngine: documents to the disk, a thread to the catalogue."""

import logging
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from bluesky import RunEngine

from .delivery import Delivery
from .leftovers import Leftovers
from .pace import Pace
from .recipient import recipient_of
from .routes import Routes
from .spool import SpooledRun

__all__ = ["RunWriter", "record_runs"]

log = logging.getLogger(__name__)

#: How long who looks for a run waits for what is being written, a session's end, and `stop`.
_CATCH_UP_S = _EXIT_S = _STOP_S = 30.0

#: Two that keep documents of one RunEngine in one folder would be in each other's way.
_RECORDING: WeakKeyDictionary[RunEngine, dict[Path, "RunWriter"]] = WeakKeyDictionary()


def record_runs(engine: RunEngine, catalog: Any, spool: Path | str) -> "RunWriter":
    """Writes every run of the RunEngine to the catalogue; `stop` of what is returned ends that.

    The RunEngine never waits for the catalogue, and a catalogue that fails does not fail the run: documents stand in
    the folder `spool` until they are written. What earlier sessions left there for this catalogue is sent now. Called
    again (a cell of a notebook), it takes the place of the former call.
    """
    former = _RECORDING.setdefault(engine, {}).get(where := Path(spool).resolve())
    if former is not None:
        former.stop()
    writer = _RECORDING[engine][where] = RunWriter(catalog, where)
    token = engine.subscribe(writer)
    writer.on_stop = lambda: engine.unsubscribe(token)
    if hasattr(catalog, "catch_up"):
        catalog.catch_up = writer.catch_up
    return writer


class RunWriter:
    """Takes documents, and has a thread that writes them to a catalogue.

    A document is in its run's file in `spool` when the call returns; the file goes when the catalogue has the whole
    run. So no queue can fill up, and a session that dies leaves what the next one sends.
    """

    def __init__(self, catalog: Any, spool: Path) -> None:
        spool.mkdir(parents=True, exist_ok=True)
        self._catalog = catalog.new_variation()  # its own: what others do with theirs changes what a client is
        self._recipient = recipient_of(catalog)
        self._spool = spool
        self._routes = Routes()
        self._runs: dict[str, Delivery] = {}
        self._left = Leftovers(self._catalog, self._recipient, spool)
        self._changed = threading.Condition()
        self._pace = Pace()
        self._taken = self._written = self._urgent = 0
        self._stopping = self._behind = False
        self.on_stop: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._work, name="catalogue", daemon=True)
        self._thread.start()
        _stop_before_exit(self)

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Takes one document. Never raises."""
        try:
            self._keep(name, doc)
        except Exception as error:  # a full disk, say; the data are more important
            self._lose(name, doc, error)

    def wait(self, timeout_s: float) -> bool:
        """Waits until all that was taken so far is written, or kept because the catalogue failed; whether it is.

        What earlier sessions left is waited for, too.
        """
        return self._wait(timeout_s, lambda: not self._left.some)

    def catch_up(self) -> bool:
        """Waits as who looks for a run does: up to 30 s, once; whether what was taken is there."""
        caught_up = self._wait(0.0 if self._behind else _CATCH_UP_S, lambda: True)
        self._behind = not caught_up
        if not caught_up:
            log.warning("catalogue: it is behind, or does not answer: the latest runs are not there yet")
        return caught_up

    def _wait(self, timeout_s: float, and_so: Callable[[], bool]) -> bool:
        with self._changed:
            taken = self._taken
            self._urgent += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(
                    lambda: not self._thread.is_alive() or (self._written >= taken and and_so()), timeout_s
                )
                return self._written >= taken and and_so()
            finally:
                self._urgent -= 1

    def stop(self, timeout_s: float = _STOP_S) -> bool:
        """Takes no more documents and ends the thread, once all is written; whether it was, in that time."""
        self.on_stop()
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning(
                "catalogue: it did not answer for %g s; documents of runs that it does not have are kept in %s, and "
                "sent by the next session: %s",
                timeout_s,
                self._spool,
                ", ".join(self._runs) or "those that earlier sessions left",
            )
        return not self._thread.is_alive()

    # -- in the RunEngine's thread --------------------------------------------------------------

    def _keep(self, name: str, doc: dict[str, Any]) -> None:
        uid = self._routes.run_of(name, doc)
        if name == "start":
            with self._changed:
                self._runs[uid] = Delivery(SpooledRun.new(self._spool, uid, self._recipient), self._catalog)
        if (delivery := self._runs.get(uid)) is not None:
            delivery.run.append(name, doc)
            self._note(urgent=name == "stop")
        if name == "stop":
            self._routes.forget(uid)

    def _note(self, *, urgent: bool) -> None:
        with self._changed:
            self._taken += 1
            if self._pace.note(time.monotonic()) or urgent:
                self._changed.notify_all()

    def _lose(self, name: str, doc: dict[str, Any], error: Exception) -> None:
        """A document could not be kept; a run with a hole is no run."""
        try:
            delivery = self._runs.get(self._routes.run_of(name, doc))
        except KeyError:
            delivery = None
        if delivery is not None and not delivery.over:
            delivery.give_up(error)
        elif name == "start":
            log.error("catalogue: the documents of run %s cannot be kept in %s: %s", doc.get("uid"), self._spool, error)

    # -- in the writer's own --------------------------------------------------------------------

    def _work(self) -> None:
        while (work := self._await_work()) is not None:
            try:
                work()
            except Exception:  # a thread that died would leave all that follows unwritten
                self._left.leave()
                log.exception("catalogue: this went wrong here; documents are kept in %s", self._spool)
            with self._changed:
                self._changed.notify_all()
        for delivery in self._runs.values():
            delivery.run.close()  # of a run that had no end yet

    def _await_work(self) -> Callable[[], None] | None:
        """Waits until there is something to do; None once there will not be."""
        with self._changed:
            while not (self._stopping or self._due() or self._may_resend()):
                self._changed.wait(self._next_in())
            if self._due() or (self._stopping and self._written < self._taken):
                return self._write_burst
            return None if self._stopping else self._resend

    def _next_in(self) -> float | None:
        now = time.monotonic()
        moments = [self._pace.due_in(now), self._pace.rested_in(now) if self._left.some else None]
        return min((moment for moment in moments if moment is not None), default=None)

    def _may_resend(self) -> bool:
        """What was left has time: while a run goes on, it is no more than a burst."""
        return self._left.some and (not self._runs or self._pace.rested_in(time.monotonic()) <= 0)

    def _resend(self) -> None:
        began = time.monotonic()
        self._left.send_one()
        now = time.monotonic()
        self._pace.end(now, took=now - began)

    def _due(self) -> bool:
        due_in = self._pace.due_in(time.monotonic())
        hurry = self._urgent or any(delivery.run.complete for delivery in self._runs.values())
        return due_in is not None and (due_in <= 0 or bool(hurry))

    def _write_burst(self) -> None:
        with self._changed:
            taken, deliveries = self._taken, list(self._runs.values())
            self._pace.begin()
        began = time.monotonic()
        for delivery in deliveries:
            delivery.go_on()
        with self._changed:
            self._written = taken
            now = time.monotonic()
            self._pace.end(now, took=now - began)
            self._runs = {uid: delivery for uid, delivery in self._runs.items() if not delivery.over}
        over = [delivery for delivery in deliveries if delivery.over]
        self._left.failed |= any(not delivery.delivered for delivery in over)
        if any(delivery.delivered for delivery in over):
            self._left.again()


def _stop_before_exit(writer: RunWriter) -> None:
    """When the interpreter ends, the last run is written before the embedded catalogue is closed.

    That does not happen in `atexit` but before it, where threads end, and so must this; the latest entry comes first.
    """
    known = weakref.ref(writer)

    def stop() -> None:
        if (writer := known()) is not None:
            writer.stop(_EXIT_S)

    threading._register_atexit(stop)  # type: ignore[attr-defined]  # Tiled does so, and there is no public way
