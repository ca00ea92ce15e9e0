"""The documents of one series' values: where they stand in its file, and which of them are there."""

from collections.abc import Iterator, Mapping, Sequence
from posixpath import dirname, join
from typing import Any

import msgspec
from event_model import ComposeStreamResource, ComposeStreamResourceBundle, StreamRange

from stins import StinsError
from stins.control import SeriesStatus

__all__ = ["StreamDocuments", "StreamKey"]

_MIMETYPE = "application/x-hdf5"


class StreamKey(msgspec.Struct, frozen=True):
    """One data key of a stream: how a descriptor describes an event's value, and where the values stand.

    `dataset` is a path in the series' file; one that does not begin with `/` is beside the series' own data set, and
    an empty one is that data set. An empty `chunk_shape` is that data set's.
    """

    name: str
    data_key: Mapping[str, Any]
    dataset: str = ""
    chunk_shape: tuple[int, ...] = ()


class StreamDocuments:
    """A StreamResource for each data key, and the StreamDatum of its events, each told once, in order.

    Every key has the same events: bluesky refuses a stream whose keys are of different widths.
    """

    def __init__(self) -> None:
        self._bundles: list[ComposeStreamResourceBundle] = []
        self.emitted = 0

    @property
    def begun(self) -> bool:
        """Whether the resources have been told, and with them what the keys are."""
        return bool(self._bundles)

    def documents(self, keys: Sequence[StreamKey], account: SeriesStatus, index: int) -> Iterator[tuple[str, Any]]:
        """What is new of these keys up to event `index`; nothing at all where nothing is.

        The resources come with their first datum: one without frames would point at nothing. The keys are only looked
        at then.
        """
        if index <= self.emitted:
            return
        first = not self._bundles
        if first:
            self._bundles = [_compose(key, account) for key in keys]
            yield from (("stream_resource", bundle.stream_resource_doc) for bundle in self._bundles)
        indices = StreamRange(start=self.emitted, stop=index)
        self.emitted = index
        for bundle in self._bundles:
            # The others differ from it in two numbers; to check each would cost a point 0.07 ms for every key.
            yield "stream_datum", bundle.compose_stream_datum(indices=indices, validate=first)


def _compose(key: StreamKey, account: SeriesStatus) -> ComposeStreamResourceBundle:
    chunk_shape = key.chunk_shape or account.chunk_shape
    if account.file is None or account.dataset is None or not chunk_shape or 0 in chunk_shape:
        raise StinsError(
            f"recorder: got file {account.file}, data set {account.dataset}, chunks {chunk_shape} "
            f"for {key.name} of series {account.series_id}; expected all three, no chunk of length 0"
        )
    return ComposeStreamResource()(
        mimetype=_MIMETYPE,
        uri=f"file://localhost{account.file}",
        data_key=key.name,
        parameters={
            "dataset": join(dirname(account.dataset), key.dataset) if key.dataset else account.dataset,
            "chunk_shape": list(chunk_shape),
            "swmr": True,
            "join_method": "stack",
        },
    )
