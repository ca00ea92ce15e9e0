"""How far a run goes: in documents, and in a catalogue."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from .spool import Document

__all__ = ["extent_in", "extent_of"]


def extent_of(documents: Iterable[Document]) -> dict[str, int]:
    """The events of each stream that the documents tell of; a stream datum tells of several."""
    streams: dict[str, str] = {}
    events: Counter[str] = Counter()
    furthest: defaultdict[str, int] = defaultdict(int)
    for name, doc in documents:
        if name == "descriptor":
            streams[doc["uid"]] = doc["name"]
        elif name in ("event", "event_page"):
            events[streams[doc["descriptor"]]] += 1 if name == "event" else len(doc["seq_num"])
        elif name == "stream_datum":
            stream = streams[doc["descriptor"]]
            furthest[stream] = max(furthest[stream], doc["indices"]["stop"])
    return {stream: max(events[stream], furthest[stream]) for stream in streams.values()}


def extent_in(run: Any) -> dict[str, int]:
    """The events of each stream of a run in a catalogue."""
    return {name: max((_length(run[name][key]) for key in run[name]), default=0) for name in run}


def _length(values: Any) -> int:
    shape = getattr(values, "shape", None)
    return int(shape[0]) if shape else 0
