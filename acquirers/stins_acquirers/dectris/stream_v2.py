"""SIMPLON stream v2 (CBOR) to our values: start, image, end; pixels stay as they came, one part a channel.

Source: DECTRIS' documentation of stream v2 (github.com/dectris/documentation) and SIMPLON API reference 1.8.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from msgspec import UNSET, UnsetType

from stins.messages import Payload

from ..backend import BackendError, Ending, Frame
from .arrays import array_part, plain
from .cbor import DateTime, read_cbor
from .incoming import Identity, Incoming
from .mould import Mould
from .opening_v2 import opening
from .times import NS_A_SECOND, TIMES, nanoseconds

__all__ = ["StreamV2"]

#: So often in a series a mould is looked for. Each of an image's four numbers becomes longer three times at most; where
#: the exposure goes to and fro across such a step, two moulds are made each time.
_MOULDS = 64
#: The largest number that CBOR writes in one byte: an image has no mould up to it.
_ONE_BYTE = 23


class StreamV2:
    """Reads message by message, and keeps what the images of a series have in common.

    `config` is what the detector's configuration says, by SIMPLON's names: a series begins with it and the start
    message together.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.config: Mapping[str, Any] = config or {}
        #: The one that the image before came from, and the one before it.
        self._mould: Mould | None = None
        self._other: Mould | None = None
        self._moulded: Identity | None = None
        self._moulds_left = 0

    def read(self, parts: Sequence[Payload]) -> Incoming:
        """The message as one of our values; raises `BackendError` that names the key and the value."""
        if len(parts) != 1:
            raise BackendError(f"stream v2: got a message of {len(parts)} parts, expected 1; is it stream v1?")
        incoming = self._mould.read(parts[0]) if self._mould is not None else None
        return incoming if incoming is not None else self._read(parts)

    def _read(self, parts: Sequence[Payload]) -> Incoming:
        if self._other is not None and (like := self._other.read(parts[0])) is not None:
            self._mould, self._other = self._other, self._mould
            return like
        message = read_cbor(parts[0])
        if not isinstance(message, dict):
            raise BackendError(f"stream v2: got {type(message).__name__}, expected a map")
        try:
            incoming = self._incoming(message)
        except KeyError as error:
            raise BackendError(f"stream v2: {message.get('type', 'message')}: no key {error}") from None
        if isinstance(incoming.value, Frame):
            self._make_mould(parts[0], incoming, incoming.value.number)
        return incoming

    def _make_mould(self, message: Payload, image: Incoming, number: int) -> None:
        if image.series != self._moulded:
            self._mould = self._other = None
            self._moulded, self._moulds_left = image.series, _MOULDS
        if number <= _ONE_BYTE or not self._moulds_left:
            return
        # One that is looked for in vain counts too: that takes 10 us, a third of what reading takes.
        self._moulds_left -= 1
        if (mould := Mould.of(message, image)) is not None:
            self._mould, self._other = mould, self._mould

    def _incoming(self, message: dict[str, Any]) -> Incoming:
        kind, number, unique_id = message["type"], message["series_id"], message.get("series_unique_id", "")
        if not isinstance(number, int) or not isinstance(unique_id, str):
            raise BackendError(
                f"stream v2: {kind}: series: got {number!r} ({unique_id!r}), expected a number and a text"
            )
        series = Identity(number, unique_id)
        if kind == "image":
            return Incoming(series, _frame(message))
        if kind == "start":
            return Incoming(series, opening(message, self.config), message.get("user_data"))
        if kind == "end":
            return Incoming(series, Ending())
        raise BackendError(f"stream v2: type: got {kind!r}, expected start, image or end")


def _frame(message: Mapping[str, Any]) -> Frame:
    number, channels = message["image_id"], message["data"]
    if type(number) is not int or number < 0 or not isinstance(channels, dict) or not channels:
        raise BackendError(
            f"stream v2: image {number!r}: got {type(channels).__name__}, expected a number and channels"
        )
    where = f"stream v2: image {number}"
    found = [array_part(f"{where}: {name}", name, array) for name, array in channels.items()]
    times = {key: _nanoseconds(where, key, message[key]) for key in TIMES if key in message}
    specific: dict[str, Any] = dict(times)
    if message.get("user_data") not in (None, ""):
        specific["user_data"] = plain(message["user_data"])
    start = times.get("start_time")
    return Frame(
        number=number,
        parts=tuple([part for part, _ in found]),
        payload=tuple([payload for _, payload in found]),
        timestamp=UNSET if start is None else start / NS_A_SECOND,
        acquisition_timestamp=_acquired(message.get("series_date"), start),
        detector_specific=specific,
    )


def _nanoseconds(where: str, key: str, value: Any) -> int:
    """A ratio of two integers, in s."""
    match value:
        case [int(count), int(frequency)] if frequency > 0:
            return nanoseconds(count, frequency)
    raise BackendError(f"{where}: {key}: got {value!r}, expected [numerator, denominator] in s")


def _acquired(date: Any, start_ns: int | None) -> int | UnsetType:
    """When the exposure began, in nanoseconds since the Unix epoch, by the detector's clock."""
    began = _epoch_ns(date.text) if isinstance(date, DateTime) else None
    return UNSET if began is None or start_ns is None else began + start_ns


@lru_cache(maxsize=8)  # all images of a series have the same
def _epoch_ns(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NS_A_SECOND + since.microseconds * 1000
