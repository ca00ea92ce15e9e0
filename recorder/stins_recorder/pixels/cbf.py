"""Frames that come as CBF files: what is stored of them are their pixels, since HDF5 has no common filter for CBF."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from stins import Packet, Part, StoreFrame
from stins.cbf import unpack
from stins.errors import CbfError
from stins.messages import Payload

from ..errors import RecorderError

__all__ = ["CBF", "cbf_pixels", "unpacked"]

CBF = "cbf"
_DTYPE = "int32"


def unpacked(frame: StoreFrame) -> StoreFrame:
    """The frame with pixels where it had CBF files; any other frame as it is (0.1 us).

    Raises:
        RecorderError: a file is damaged, or holds another image than the part says; the frame is to be refused.
    """
    for part in frame.header.data or ():
        if part.compression == CBF:
            return _unpacked(frame, frame.header.data or ())
    return frame


def _unpacked(frame: StoreFrame, parts: tuple[Part, ...]) -> StoreFrame:
    contents = tuple(_content(frame, part, content) for part, content in zip(parts, frame.packet.payload, strict=True))
    pixels = tuple(
        msgspec.structs.replace(part, compression="none") if part.compression == CBF else part for part in parts
    )
    header = msgspec.structs.replace(frame.header, data=pixels)
    packet = Packet(header, contents, frame.packet.moved)
    return msgspec.structs.replace(frame, packet=packet, header=header)


def _content(frame: StoreFrame, part: Part, content: Payload) -> Payload:
    if part.compression != CBF:
        return content
    try:
        return cbf_pixels(part, content).data.cast("B")
    except RecorderError as error:
        raise RecorderError(f"frame {frame.header.frame_number}: {error}") from error


def cbf_pixels(part: Part, content: Payload) -> NDArray[np.int32]:
    """The pixels of a part that is a CBF file, in its shape.

    Raises:
        RecorderError: the file is damaged, or holds another image than the part says.
    """
    if part.dtype != _DTYPE:
        raise RecorderError(f"part {part.name!r}: got dtype {part.dtype} with compression cbf, expected {_DTYPE}")
    try:
        pixels = unpack(content)
    except CbfError as error:
        raise RecorderError(f"part {part.name!r}: its CBF file cannot be read: {error}") from error
    if pixels.shape not in {part.shape, part.shape[1:]} or pixels.size != np.prod(part.shape):
        raise RecorderError(f"part {part.name!r}: got a CBF image of {list(pixels.shape)}, expected {list(part.shape)}")
    return pixels.reshape(part.shape)
