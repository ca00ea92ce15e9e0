"""The documents that say where a detector's frames are."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from event_model import ComposeStreamResource, ComposeStreamResourceBundle, StreamRange

from stins import StinsError
from stins.control import FrameDescription, SeriesStatus

__all__ = ["ImageStream", "image_data_key"]

_MIMETYPE = "application/x-hdf5"


def image_data_key(source: str, frame: FrameDescription, frames_per_event: int) -> dict[str, Any]:
    """Describes one event's image: one frame as it is, several with an axis of their own in front."""
    lead = [frames_per_event] if frames_per_event > 1 else []
    try:
        dtype = np.dtype(frame.dtype)
    except TypeError:  # mono12p: the recorder has no type for packed pixels
        raise StinsError(f"{source}: got pixels of type {frame.dtype!r}, expected a type that HDF5 has") from None
    return {
        "source": source,
        "dtype": "array",
        "dtype_numpy": dtype.str,
        "shape": [*lead, *frame.shape],
        "external": "STREAM:",
    }


class ImageStream:
    """A StreamResource for each image that a frame has, and the StreamDatum of its events, each told once, in order."""

    def __init__(self, data_key: str) -> None:
        self._data_key = data_key
        self._bundles: list[ComposeStreamResourceBundle] = []
        self.emitted = 0

    def documents(
        self, account: SeriesStatus, index: int, channels: Mapping[str, str] | None = None
    ) -> Iterator[tuple[str, Any]]:
        """What is new up to event `index`; nothing at all where nothing is.

        `channels`: data keys of the further images, and the name that each one's dataset has beside the first's. The
        resources come with their first datum: one without frames would point at nothing.
        """
        if index <= self.emitted:
            return
        if not self._bundles:
            self._bundles = list(self._compose(account, channels or {}))
            yield from (("stream_resource", bundle.stream_resource_doc) for bundle in self._bundles)
        indices = StreamRange(start=self.emitted, stop=index)
        self.emitted = index
        for bundle in self._bundles:
            yield "stream_datum", bundle.compose_stream_datum(indices=indices)

    def _compose(self, account: SeriesStatus, channels: Mapping[str, str]) -> Iterator[ComposeStreamResourceBundle]:
        if account.file is None or account.dataset is None or not account.chunk_shape or 0 in account.chunk_shape:
            raise StinsError(
                f"recorder: got file {account.file}, data set {account.dataset}, chunks {account.chunk_shape} "
                f"for series {account.series_id}; expected all three, no chunk of length 0"
            )
        beside = account.dataset.rpartition("/")[0]
        datasets = {self._data_key: account.dataset, **{key: f"{beside}/{name}" for key, name in channels.items()}}
        for key, dataset in datasets.items():
            yield ComposeStreamResource()(
                mimetype=_MIMETYPE,
                uri=f"file://localhost{account.file}",
                data_key=key,
                parameters={
                    "dataset": dataset,
                    "chunk_shape": list(account.chunk_shape),
                    "swmr": True,
                    "join_method": "stack",
                },
            )
