"""One image file: checked to be whole, and what is sent of it."""

import re
from datetime import datetime
from typing import Final

import msgspec

from stins import Part
from stins.cbf import locate, unpack
from stins.errors import CbfError
from stins.messages import Payload

from ...backend import BackendError
from ...compress import bslz4_chunk

__all__ = ["Image", "image_part", "parse_image"]

#: What the detector says of an image stands before the pixels, one remark a line.
_REMARK = re.compile(r"^#[ \t]+(.*?)\s*$", re.MULTILINE)
_DATE = re.compile(r"\d{4}[-/](?:\d\d|\w{3})[-/]\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?")
_DATE_FORMATS: Final = ("%Y-%m-%dT%H:%M:%S.%f", "%Y/%b/%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y/%b/%d %H:%M:%S")
_HEAD_BYTES: Final = 4096
_END: Final = b"--CIF-BINARY-FORMAT-SECTION----"


class Image(msgspec.Struct, frozen=True):
    """`payload` is what is sent; `remarks` what the detector says, `began` when the exposure began by its clock."""

    payload: Payload
    remarks: str
    began: datetime | None


def image_part(shape: tuple[int, int], compression: str) -> Part:
    """How the part of a frame is described."""
    return Part(name="image", shape=shape, dtype="int32", compression=compression)


def parse_image(content: bytes, part: Part) -> Image:
    """An image as `part` describes it.

    Raises:
        CbfError: the file is not whole, or no CBF file.
        BackendError: it is, and has another image than expected.
    """
    binary = locate(content)
    if _END not in content[binary.start + binary.size :]:
        raise CbfError(f"got {len(content)} bytes without the mark that ends a file")
    if binary.shape != part.shape:
        raise BackendError(f"got an image of {list(binary.shape)}, expected {list(part.shape)}; is `shape` set right?")
    remarks = "\n".join(_REMARK.findall(content[: min(binary.start, _HEAD_BYTES)].decode("latin-1")))
    return Image(_payload(content, part.compression), remarks, _began(remarks))


def _payload(content: bytes, compression: str) -> Payload:
    if compression == "cbf":
        return content
    pixels = unpack(content)
    return bslz4_chunk(pixels) if compression == "bslz4" else pixels.data.cast("B")


def _began(remarks: str) -> datetime | None:
    found = _DATE.search(remarks)
    for date_format in _DATE_FORMATS if found else ():
        try:
            return datetime.strptime(found[0], date_format)  # type: ignore[index]  # there is none without
        except ValueError:
            continue
    return None
