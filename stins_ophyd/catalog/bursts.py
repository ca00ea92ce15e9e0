"""Writing a run to Tiled while it goes on, some documents at a time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from bluesky_tiled_plugins import TiledWriter
from bluesky_tiled_plugins.writing.tiled_writer import RunNormalizer
from event_model import DocumentNames

from .spool import Document

__all__ = ["RunningRun", "write_whole"]

#: The assets of devices that still speak of Resource and Datum.
_MIMETYPES = {"STINS_HDF5": "application/x-hdf5"}
_AT_THE_END = 1_000_000
#: Documents that are in memory at once, some 10 MB; a table's columns get their types from the first of them.
_MANY = 10_000


class RunningRun:
    """One run in the catalogue, which grows.

    TiledWriter can write each event by itself, 60 ms of CPU time for each, or all of them at the end of the run. Here
    each burst of documents is written at once: one row of the table takes as long as fifty.
    """

    def __init__(self, catalog: Any) -> None:
        self._bursts: _Bursts | None = None
        self._write = TiledWriter(catalog, normalizer=self._make, spec_to_mimetype=_MIMETYPES, batch_size=_AT_THE_END)

    def write(self, documents: Iterable[Document]) -> None:
        """Writes what these documents say; it can be read when this returns."""
        for name, doc in documents:
            self._write(name, doc)
        if self._bursts is not None:
            self._bursts.flush()

    def _make(self, **keywords: Any) -> "_Bursts":
        self._bursts = _Bursts(**keywords)
        return self._bursts


def write_whole(catalog: Any, documents: Iterator[Document]) -> None:
    """Writes a run whose documents are all there, many at a time."""
    run = RunningRun(catalog)
    while some := list(islice(documents, _MANY)):
        run.write(some)


class _Bursts(RunNormalizer):
    """What TiledWriter is about to write, held until `flush`: events, and the stream datums of one resource as one."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._writer: Any = None
        self._types: dict[str, dict[str, str]] = {}
        self._events: dict[str, list[dict[str, Any]]] = {}
        self._datums: dict[str, dict[str, Any]] = {}

    def subscribe(self, func: Any, name: str = "all") -> Any:
        """TiledWriter says here what writes this run."""
        self._writer = func
        return super().subscribe(func, name)

    def emit(self, name: DocumentNames, doc: Any) -> None:
        """Takes a document, in today's form."""
        if name is DocumentNames.event:
            self._events.setdefault(doc["descriptor"], []).append(self._typed(doc))
        elif name is DocumentNames.stream_datum:
            self._hold(doc)
        else:
            if name is DocumentNames.descriptor:
                self._types[doc["uid"]] = {key: about["dtype"] for key, about in doc["data_keys"].items()}
            elif name is DocumentNames.stop:
                self.flush()
            super().emit(name, doc)

    def flush(self) -> None:
        """Hands on what is held. TiledWriter writes what it was given when it has a batch: now, that is."""
        for datum in self._datums.values():
            self._hand_on(DocumentNames.stream_datum, datum, batch=1)
        for events in self._events.values():
            for event in events[:-1]:
                self._hand_on(DocumentNames.event, event, batch=_AT_THE_END)
            self._hand_on(DocumentNames.event, events[-1], batch=1)
        self._datums.clear()
        self._events.clear()

    def _hand_on(self, name: DocumentNames, doc: Any, batch: int) -> None:
        # It has no other way to write early. Without this attribute (it is TiledWriter's own), all is written at the
        # end of the run.
        self._writer._batch_size = batch
        super().emit(name, doc)

    def _hold(self, doc: Any) -> None:
        held = self._datums.get(doc["stream_resource"])
        if held is not None and _follows(held, doc):
            for what in ("indices", "seq_nums"):
                held[what] = {"start": held[what]["start"], "stop": doc[what]["stop"]}
            return
        if held is not None:
            self._hand_on(DocumentNames.stream_datum, held, batch=1)
        self._datums[doc["stream_resource"]] = doc

    def _typed(self, doc: Any) -> Any:
        """The first burst makes the table's columns: a number that happened to be whole would make one of integers."""
        types = self._types.get(doc["descriptor"], {})
        for key, value in doc["data"].items():
            if types.get(key) == "number" and type(value) is int:
                doc["data"][key] = float(value)
        return doc


def _follows(before: Any, after: Any) -> bool:
    return bool(before["descriptor"] == after["descriptor"] and before["indices"]["stop"] == after["indices"]["start"])
