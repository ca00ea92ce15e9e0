"""The older way to say where a point's images are: Resource and Datum, for tools that know no stream documents."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from event_model import ComposeDatum, ComposeResource, ComposeResourceBundle

from stins import StinsError
from stins.control import SeriesStatus

from .device import StinsDetector
from .handlers import SPEC
from .status import ProgressStatus
from .streams import StreamDocuments, StreamKey

__all__ = ["ResourceDocuments", "with_resource_documents"]


class ResourceDocuments(StinsDetector):
    """A detector whose events hold, for each image, the name of a Datum.

    `stins_ophyd.handlers` reads them. There is no series that is flown: bluesky has events for each point only here.
    """

    #: What the RunEngine tells both kinds of device apart by.
    get_index = None  # type: ignore[assignment]

    def _begin(self) -> None:
        super()._begin()
        self._stream = DatumDocuments()

    def kickoff(self) -> ProgressStatus:
        """Refused."""
        raise StinsError(
            f"{self.name}: kickoff: got a series to fly, expected points one by one, as Resource and Datum documents "
            'have no other; make the detector with docs="stream"'
        )

    def read(self) -> dict[str, Any]:
        """The point's numbers, and the Datum of each image."""
        own: dict[str, Any] = super().read()
        if not isinstance(self._stream, DatumDocuments) or not self._published:
            raise StinsError(f"{self.name}: read: got no point yet, expected a trigger before it")
        at = self.total.timestamp
        names = {key.name: self._stream.datum_id(key.name, self._published - 1) for key in self._keys()}
        return own | {key: {"value": name, "timestamp": at} for key, name in names.items()}

    def _describe_keys(self) -> dict[str, Any]:
        return {key: about | {"external": "FILESTORE:"} for key, about in super()._describe_keys().items()}

    def collect_asset_docs(self, _index: int | None = None) -> Iterator[tuple[str, Any]]:
        """Says where the points' images are that were not told yet."""
        staging = self._required("collect")
        if staging.account is not None:
            keys = () if self._stream.begun else self._keys()
            yield from self._stream.documents(keys, staging.account, self._published)


class DatumDocuments(StreamDocuments):
    """A Resource for each data key, and a Datum for each of its events, each told once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._uids: dict[str, str] = {}
        self._datums: dict[str, ComposeDatum] = {}

    def datum_id(self, key: str, event: int) -> str:
        """The name that this key's Datum of that event has, or will have."""
        return f"{self._uids.setdefault(key, str(uuid4()))}/{event}"

    def documents(self, keys: Sequence[StreamKey], account: SeriesStatus, index: int) -> Iterator[tuple[str, Any]]:
        """What is new of these keys up to event `index`: what the stream's documents say, in the older words."""
        shapes = {key.name: key.data_key["shape"] for key in keys}
        for name, doc in super().documents(keys, account, index):
            if name == "stream_resource":
                bundle = self._bundle(doc, shapes[doc["data_key"]])
                self._datums[doc["uid"]] = bundle.compose_datum
                yield "resource", bundle.resource_doc
            else:
                for event in range(doc["indices"]["start"], doc["indices"]["stop"]):
                    yield "datum", self._datums[doc["stream_resource"]](datum_kwargs={"point_number": event})

    def _bundle(self, stream_resource: Mapping[str, Any], shape: Sequence[int]) -> ComposeResourceBundle:
        path = PurePosixPath(urlsplit(stream_resource["uri"]).path)
        parameters = {key: stream_resource["parameters"][key] for key in ("dataset", "chunk_shape", "swmr")}
        if len(shape) == len(parameters["chunk_shape"]):  # an axis more than a frame has
            parameters["frame_per_point"] = shape[0]
        return ComposeResource(None)(
            spec=SPEC,
            root=str(path.parent),
            resource_path=path.name,
            resource_kwargs=parameters,
            path_semantics="posix",
            uid=self.datum_id(stream_resource["data_key"], 0).partition("/")[0],
        )


def with_resource_documents(kind: type[StinsDetector]) -> type[StinsDetector]:
    """That kind of detector, with Resource and Datum documents."""
    return type(f"{kind.__name__}WithResources", (ResourceDocuments, kind), {"__module__": kind.__module__})
