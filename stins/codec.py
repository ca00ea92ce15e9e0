"""Bytes to messages and back: JSON headers, checked once, at the edge.

Nothing here copies a binary part; `Decoder` only compares its length (and the twelve bytes in front of a
compressed one) with what the header says of it.
"""

from collections.abc import Sequence
from typing import NoReturn

import msgspec
from msgspec import UNSET, UnsetType

from .checks import (
    Limits,
    check_announced,
    check_depth,
    check_dropped,
    check_frame,
    check_names,
    check_parts,
    check_payload,
    check_rows,
    part_bytes,
)
from .errors import MessageError
from .explain import move_unknown, refuse, refuse_depth
from .messages import (
    Data,
    FrameLayout,
    Header,
    Packet,
    Part,
    Payload,
    SeriesEnd,
    SeriesStart,
    frame_count,
    is_series_array,
)

__all__ = ["Decoder", "Limits", "encode", "part_bytes"]

_JSON = msgspec.json.Encoder()


def encode(header: Header) -> bytes:
    """The header as UTF-8 JSON; NaN and infinity, for which JSON has no word, become null.

    Only detector_specific may hold a null: a receiver refuses a time stamp that is one.
    """
    return _JSON.encode(header)


class Decoder:
    """Turns the parts of one ZeroMQ message into a checked `Packet`.

    A strict decoder refuses a key that the protocol doesn't know; a tolerant one moves it into
    `detector_specific` and names it in `Packet.moved`.
    """

    def __init__(self, *, strict: bool = False, limits: Limits | None = None) -> None:
        self._strict = strict
        self._limits = limits or Limits()
        self._json: msgspec.json.Decoder[Header] = msgspec.json.Decoder(SeriesStart | Data | SeriesEnd)
        # Frames of one series look alike: what was checked last needs no second look, only the lengths do.
        self._checked: tuple[Part, ...] = ()
        self._checked_frame: FrameLayout | UnsetType = UNSET
        self._sizes: tuple[int, ...] = ()

    def decode(self, parts: Sequence[Payload]) -> Packet:
        """Raises `MessageError`, which names the key and the value, for anything that is not STINS 1."""
        if not parts:
            raise MessageError("got a message without parts, expected a JSON header")
        header, moved = self._header(parts[0])
        try:
            if header.detector_specific:
                check_depth(header.detector_specific, self._limits)
            if type(header) is Data:
                self._check_data(header, parts)
            else:
                self._check_other(header, parts)
        except MessageError as error:
            error.message_id = header.message_id
            raise
        return Packet(header, tuple(parts[1:]), moved)

    def _header(self, raw: Payload) -> tuple[Header, tuple[str, ...]]:
        if len(raw) > self._limits.header_bytes:
            raise MessageError(f"header: got {len(raw)} bytes, expected at most {self._limits.header_bytes}")
        try:
            return self._json.decode(raw), ()
        except msgspec.ValidationError as error:
            return self._second_look(raw, error)
        except (RecursionError, ValueError) as error:
            self._refuse_raw(raw, error)

    def _second_look(self, raw: Payload, error: msgspec.ValidationError) -> tuple[Header, tuple[str, ...]]:
        """Off the fast path: an unknown key is moved (tolerant), anything else is explained and refused."""
        try:
            content = msgspec.json.decode(raw)
        except (RecursionError, ValueError) as worse:
            self._refuse_raw(raw, worse)
        if self._strict or not isinstance(content, dict) or "unknown field" not in str(error):
            refuse(error, content)
        moved = move_unknown(content)
        try:
            return msgspec.convert(content, SeriesStart | Data | SeriesEnd), moved
        except msgspec.ValidationError as second:
            refuse(second, content)

    def _refuse_raw(self, raw: Payload, error: Exception) -> NoReturn:
        if isinstance(error, RecursionError):
            refuse_depth(bytes(raw), self._limits.depth)
        raise MessageError(f"header: {error}; got {bytes(raw[:60])!r}, expected a JSON object") from None

    def _check_data(self, header: Data, parts: Sequence[Payload]) -> None:
        described = header.data or ()
        if described != self._checked or header.frame != self._checked_frame:
            sizes = check_parts(described, self._limits)
            check_frame(header.frame, described, self._limits)
            self._checked, self._checked_frame, self._sizes = described, header.frame, sizes
        if len(parts) - 1 != len(described):
            raise MessageError(f"data: got {len(parts) - 1} binary parts, expected {len(described)}")
        for index, size in enumerate(self._sizes):
            check_payload(index, described[index], size, parts[index + 1])
        if header.frames_dropped:
            check_dropped(header.frames_dropped)
        if type(header.timestamp) is tuple or type(header.acquisition_timestamp) is tuple:
            check_rows(header, frame_count(header))

    def _check_other(self, header: Header, parts: Sequence[Payload]) -> None:
        described = header.data or () if isinstance(header, SeriesStart) else ()
        sizes = check_parts(described, self._limits)
        if isinstance(header, SeriesStart):
            check_frame(header.frame, described, self._limits, is_series_array)
            check_names(header)
            if self._strict:
                check_announced(described)
        elif isinstance(header, SeriesEnd) and header.frames_dropped:
            check_dropped(header.frames_dropped)
        arrays = [i for i, part in enumerate(described) if is_series_array(part.name)]
        if len(parts) - 1 != len(arrays):
            raise MessageError(f"data: got {len(parts) - 1} binary parts, expected {len(arrays)}")
        for index, payload in zip(arrays, parts[1:], strict=True):
            check_payload(index, described[index], sizes[index], payload)
