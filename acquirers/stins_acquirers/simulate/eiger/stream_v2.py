"""Stream v2: one CBOR message each for the start, every image and the end of a series.

Source: github.com/dectris/documentation, stream_v2. Pixels are sent from where they lie: an image's message is put
together once for each image of the pool, and only the bytes in front of its pixels are made anew.
"""

from collections import deque
from functools import cached_property
from typing import Any, Final

import cbor2
import numpy as np
import zmq
from numpy.typing import NDArray

from .cbor import COMPRESSED, MULTI_DIM, SELF_DESCRIBED, TYPED, array, byte_string_head, map_head, tag, text, uint
from .detector_keys import AXES
from .keys import Value
from .pool import Blob, Pool
from .series import Image, Series

__all__ = ["StreamV2"]

#: Ticks per second of the times, as in captured data.
_TIME_BASE: Final = 50_000_000
_NS_PER_TICK: Final = 1_000_000_000 // _TIME_BASE
_PER_TIME_BASE: Final = uint(_TIME_BASE)
_PAIR: Final = b"\x82"  # an array of two
_REAL_TIME: Final = text("real_time")
_STOP_TIME: Final = text("stop_time")
#: Of an image's map: type, series_id, series_unique_id, image_id, real_time, series_date, start_time, stop_time, data.
_FIELDS: Final = 9
#: Room for what stands in front of the pixels: 260 bytes and what `series_unique_id` and `series_date` take.
_HEAD_BYTES: Final = 512
#: Memory for messages: the 68 that may be on their way to one client take 11 MB at 1 Mpixel. Beyond, they are copied.
_MOST_BYTES: Final = 256 << 20
_NEVER: Final = 1 << 62


class StreamV2:
    """The messages of one series, sent by one thread."""

    def __init__(self, series: Series) -> None:
        self._series = series
        named = [text("type"), text("image"), text("series_id"), uint(series.number)]
        named += [text("series_unique_id"), text(series.unique_id), text("image_id")]
        self._named = b"".join(named)
        self._dated = text("series_date") + tag(0) + text(series.armed) + text("start_time")
        self._appendix: Value = ""
        self._fields = map_head(_FIELDS)
        self._sent = 0
        self._slots = _slots(series.pool, b"")

    @cached_property
    def _start(self) -> bytes:
        """Made once, however often it is tried to send it: with all arrays of 16 Mpixel it has 145 MB."""
        return _encode(_start(self._series))

    def send_start(self, socket: zmq.Socket[Any], _on_their_way: int) -> None:
        """Sends the start message; raises `zmq.Again` where there is no room."""
        socket.send(self._start, zmq.NOBLOCK)

    def send_end(self, socket: zmq.Socket[Any], _on_their_way: int) -> None:
        """Sends the end message."""
        series = self._series
        message = {"type": "end", "series_id": series.number, "series_unique_id": series.unique_id}
        socket.send(_encode(message), zmq.NOBLOCK)

    def send_image(self, image: Image, socket: zmq.Socket[Any], on_their_way: int) -> None:
        """Sends one image."""
        if image.appendix != self._appendix:
            self._append(image.appendix)
        slots = self._slots[image.number % len(self._slots)]
        head = self._head(image)
        # The one behind which the most images were sent.
        slot = slots[0]
        if self._sent - slot.sent_at > on_their_way:
            slot.send(socket, head)
            slots.rotate(-1)
        elif sum(map(len, self._slots)) * slot.size < _MOST_BYTES:
            slot = slot.copy()
            slot.send(socket, head)
            slots.append(slot)
        else:
            slot.send_copied(socket, head)
        self._sent += 1
        slots[-1].sent_at = self._sent

    def _append(self, appendix: Value) -> None:
        """An appendix stands behind the pixels: it is put there once, when it changes."""
        self._appendix = appendix
        behind = text("user_data") + cbor2.dumps(appendix) if appendix != "" else b""
        self._fields = map_head(_FIELDS + (appendix != ""))
        self._slots = _slots(self._series.pool, behind)

    def _head(self, image: Image) -> bytes:
        start, stop = (_rational(ns - self._series.armed_ns) for ns in (image.start_ns, image.stop_ns))
        front = SELF_DESCRIBED + self._fields + self._named + uint(image.number)
        return front + _REAL_TIME + _rational(image.real_ns) + self._dated + start + _STOP_TIME + stop


class _Slot:
    """Memory of one message, which ZeroMQ sends from where it lies: it is used again once no message of then is left.

    pyzmq could tell when one is sent; that takes a thread and 45 us of CPU for each.
    """

    def __init__(self, behind: bytes | bytearray) -> None:
        self._memory = bytearray(_HEAD_BYTES) + behind
        self._begin = _HEAD_BYTES
        self._frame: zmq.Frame | None = None
        self.sent_at = -_NEVER

    @property
    def size(self) -> int:
        return len(self._memory)

    def copy(self) -> "_Slot":
        return _Slot(self._memory[_HEAD_BYTES:])

    def send(self, socket: zmq.Socket[Any], head: bytes) -> None:
        begin = _HEAD_BYTES - len(head)
        self._memory[begin:_HEAD_BYTES] = head
        if self._frame is None or begin != self._begin:
            # Numbers became longer by a byte, which is seldom.
            self._begin, self._frame = begin, zmq.Frame(memoryview(self._memory)[begin:], copy=False)
        socket.send(self._frame, zmq.NOBLOCK)

    def send_copied(self, socket: zmq.Socket[Any], head: bytes) -> None:
        socket.send(head + memoryview(self._memory)[_HEAD_BYTES:], zmq.NOBLOCK)


def _slots(pool: Pool, behind: bytes) -> list[deque[_Slot]]:
    """Of each image of the pool the memory of its messages, of which there is one at first."""
    return [deque([_Slot(_data(pool, image, behind))]) for image in pool.images]


def _data(pool: Pool, image: tuple[Blob, ...], behind: bytes) -> bytes:
    """The field `data` and what stands behind it."""
    shape = array([uint(side) for side in pool.shape])
    parts = [text("data"), map_head(len(image))]
    for channel, blob in zip(pool.channels, image, strict=True):
        parts += [text(channel), tag(MULTI_DIM), _PAIR, shape, tag(TYPED[pool.dtype])]
        if pool.compression != "none":
            item = np.dtype(pool.dtype).itemsize if pool.compression == "bslz4" else 0
            parts += [tag(COMPRESSED), b"\x83", text(pool.compression), uint(item)]
        parts += [byte_string_head(len(blob.content)), blob.content]
    return b"".join([*parts, behind])


def _start(series: Series) -> dict[str, Any]:
    config = series.config
    rows, columns = series.pool.shape
    message: dict[str, Any] = {
        "type": "start",
        "arm_date": cbor2.CBORTag(0, series.armed),
        "beam_center_x": config["beam_center_x"],
        "beam_center_y": config["beam_center_y"],
        "channels": list(series.pool.channels),
        "count_time": config["count_time"],
        "countrate_correction_enabled": config["countrate_correction_applied"],
        "detector_description": config["description"],
        "detector_serial_number": config["detector_number"],
        "detector_translation": config["detector_translation"],
        "flatfield_enabled": config["flatfield_correction_applied"],
        "frame_time": config["frame_time"],
        "goniometer": {
            axis: {"increment": config[f"{axis}_increment"], "start": config[f"{axis}_start"]} for axis in AXES
        },
        "image_dtype": series.pool.dtype,
        "image_size_x": columns,
        "image_size_y": rows,
        "incident_energy": config["photon_energy"],
        "incident_wavelength": config["wavelength"],
        "number_of_images": series.images_expected,
        "pixel_mask_enabled": config["pixel_mask_applied"],
        "pixel_size_x": config["x_pixel_size"],
        "pixel_size_y": config["y_pixel_size"],
        "saturation_value": config["countrate_correction_count_cutoff"],
        "sensor_material": config["sensor_material"],
        "sensor_thickness": config["sensor_thickness"],
        "series_id": series.number,
        "series_unique_id": series.unique_id,
        "threshold_energy": _threshold_energies(series),
        "virtual_pixel_interpolation_enabled": config["virtual_pixel_correction_applied"],
    }
    if series.header_appendix != "":
        message["user_data"] = series.header_appendix
    if series.header_detail == "all":
        message |= _arrays(series)
    return message


def _arrays(series: Series) -> dict[str, Any]:
    return {
        "countrate_correction_lookup_table": _typed(series.countrate_table.reshape(-1)),
        "flatfield": {channel: _multi_dim(values) for channel, values in series.flatfields.items()},
        "pixel_mask": {channel: _multi_dim(values) for channel, values in series.pixel_masks.items()},
    }


def _threshold_energies(series: Series) -> dict[str, float]:
    """Of each threshold among the channels; the difference has none of its own."""
    config = series.config
    found = {}
    for channel in series.pool.channels:
        number = channel.removeprefix("threshold_")
        if number != channel:
            found[channel] = config.get(f"threshold/{number}/energy", config["threshold_energy"])
    return found


def _multi_dim(values: NDArray[Any]) -> cbor2.CBORTag:
    return cbor2.CBORTag(MULTI_DIM, [list(values.shape), _typed(values)])


def _typed(values: NDArray[Any]) -> cbor2.CBORTag:
    return cbor2.CBORTag(TYPED[values.dtype.name], values.tobytes())


def _encode(message: dict[str, Any]) -> bytes:
    return SELF_DESCRIBED + cbor2.dumps(message)


def _rational(nanoseconds: int) -> bytes:
    return _PAIR + uint(nanoseconds // _NS_PER_TICK) + _PER_TIME_BASE
