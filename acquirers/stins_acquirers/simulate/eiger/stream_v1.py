"""Stream v1 ("legacy"): multipart messages of JSON and binary parts.

Sources: SIMPLON API reference 1.8, chapter "stream"; the parts and keys of a captured stream. The channel that is
sent is the first of those enabled: this stream knows one threshold.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import zmq

from .keys import Value
from .pool import Blob, Pool
from .series import Image, Series

__all__ = ["StreamV1"]

_FIRST = 0


class StreamV1:
    """The messages of one series, sent by one thread."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._images = [_Sent(series.pool, image[_FIRST]) for image in series.pool.images]

    @cached_property
    def _header(self) -> list[bytes]:
        """Made once, however often it is tried to send it."""
        return list(_header(self._series))

    def send_start(self, socket: zmq.Socket[Any], _on_their_way: int) -> None:
        """Sends the header; raises `zmq.Again` where there is no room."""
        socket.send_multipart(self._header, zmq.NOBLOCK)

    def send_end(self, socket: zmq.Socket[Any], _on_their_way: int) -> None:
        """Sends the end of the series."""
        socket.send(_json({"htype": "dseries_end-1.0", "series": self._series.number}), zmq.NOBLOCK)

    def send_image(self, image: Image, socket: zmq.Socket[Any], _on_their_way: int) -> None:
        """Sends one image; its pixels never change, so it doesn't matter what is on its way."""
        sent = self._images[image.number % len(self._images)]
        first = {"frame": image.number, "hash": sent.digest, "htype": "dimage-1.0", "series": self._series.number}
        config = {
            "htype": "dconfig-1.0",
            "real_time": image.real_ns,
            "start_time": image.start_ns,
            "stop_time": image.stop_ns,
        }
        parts: list[Any] = [_json(first), sent.description, sent.content, _json(config)]
        if image.appendix != "":
            parts.append(_appendix(image.appendix))
        socket.send_multipart(parts, zmq.NOBLOCK)


class _Sent:
    """What is the same each time that an image of the pool is sent; ZeroMQ sends `content` from where it lies."""

    def __init__(self, pool: Pool, blob: Blob) -> None:
        content = blob.content if blob.block is None else blob.block
        bits = np.dtype(pool.dtype).itemsize * 8
        encoding = {"bslz4": f"bs{bits}-lz4<", "lz4": "lz4<", "none": "<"}[pool.compression]
        rows, columns = pool.shape
        self.digest = blob.digest
        self.content = zmq.Frame(content, copy=False)
        self.description = _json(
            {
                "encoding": encoding,
                "htype": "dimage_d-1.0",
                "shape": [columns, rows],
                "size": len(content),
                "type": pool.dtype,
            }
        )


def _header(series: Series) -> Iterator[bytes]:
    detail = series.header_detail
    yield _json({"header_detail": detail, "htype": "dheader-1.0", "series": series.number})
    if detail != "none":
        yield _json(_config(series))
    if detail == "all":
        channel = series.pool.channels[_FIRST]
        yield from _array("dflatfield-1.0", series.flatfields[channel], reversed(series.pool.shape))
        yield from _array("dpixelmask-1.0", series.pixel_masks[channel], reversed(series.pool.shape))
        table = series.countrate_table
        yield from _array("dcountrate_table-1.0", table, reversed(table.shape))
    if series.header_appendix != "":
        yield _appendix(series.header_appendix)


def _config(series: Series) -> dict[str, Any]:
    """The captured header has no keys of single thresholds, and an empty text where the whole detector is read."""
    config = {name: value for name, value in series.config.items() if "/" not in name}
    roi = config["roi_mode"]
    return {**config, "data_collection_date": series.armed, "roi_mode": "" if roi == "disabled" else roi}


def _array(htype: str, values: Any, shape: Any) -> Sequence[bytes]:
    return _json({"htype": htype, "shape": list(shape), "type": values.dtype.name}), values.tobytes()


def _appendix(content: Value) -> bytes:
    return content.encode() if isinstance(content, str) else _json(content)


_ENCODER = msgspec.json.Encoder(order="sorted")
_json = _ENCODER.encode
