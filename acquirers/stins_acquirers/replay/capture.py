"""Reads captured streams: concatenated CBOR values, one per message, plain or as the one member of a zip.

Read as it goes, never held as a whole: a capture may be larger than the memory. Going back means reading again.
"""

import zipfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import cbor2

from ..backend import BackendError

__all__ = ["read_messages"]

# A message is tagged, and so is what came in on each stream of it. Tags that cbor2 has no meaning for come as
# CBORTag from version 5 and 6 alike; their `tag_hook`, whose arguments differ, is not needed.
_MESSAGE_TAG, _STREAM_TAG = 42877, 42878


def read_messages(path: Path) -> Generator[list[bytes], None, None]:
    """The messages, each as the list of its ZeroMQ parts; raises `BackendError` where the file is not a capture."""
    with _opened(path) as file:
        decoder = cbor2.CBORDecoder(file)
        stream: str | None = None
        for number, value in enumerate(_values(decoder, path)):
            stream, parts = _parts(value, stream, f"{path}: message {number}")
            if parts is not None:
                yield parts


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                raise BackendError(f"{path}: got a zip of {len(members)} files, expected one")
            with archive.open(members[0]) as member:
                yield member  # type: ignore[misc]  # ZipExtFile is a BufferedIOBase, and reads like any file
    except (OSError, zipfile.BadZipFile) as error:
        raise BackendError(f"{path}: cannot be read: {error}") from error


def _values(decoder: cbor2.CBORDecoder, path: Path) -> Iterator[object]:
    number = 0
    while True:
        try:
            value = decoder.decode()
        except (EOFError, cbor2.CBORDecodeEOF):  # also where a value is cut short: the capture ends there
            return
        except (cbor2.CBORDecodeError, ValueError) as error:
            raise BackendError(f"{path}: message {number}: not CBOR: {error}") from error
        yield value
        number += 1


def _parts(value: object, stream: str | None, where: str) -> tuple[str | None, list[bytes] | None]:
    """The parts that came on `stream` (None: on the first stream there is) and the stream's name."""
    if not isinstance(value, cbor2.CBORTag):
        return stream, _byte_strings(value, where)
    content = value.value
    if value.tag != _MESSAGE_TAG or not isinstance(content, Sequence) or len(content) < 2:
        raise BackendError(f"{where}: got tag {value.tag}, expected {_MESSAGE_TAG} with [number, streams]")
    streams: Any = content[1]
    if not isinstance(streams, Mapping):
        raise BackendError(f"{where}: got {type(streams).__name__}, expected a map of streams")
    name = stream if stream is not None else next((key for key in streams if _is_stream(streams[key])), None)
    found: Any = streams.get(name)
    return name, _byte_strings(found.value[1], where) if _is_stream(found) else None


def _is_stream(value: Any) -> bool:
    return isinstance(value, cbor2.CBORTag) and value.tag == _STREAM_TAG and len(value.value) == 2


def _byte_strings(value: object, where: str) -> list[bytes]:
    if isinstance(value, Sequence) and value and all(isinstance(part, bytes) for part in value):
        return list(value)
    raise BackendError(f"{where}: got {type(value).__name__}, expected a list of byte strings")
