"""Images computed and compressed ahead: a series cycles through them."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import h5py
import hdf5plugin
import lz4.block
import msgspec
import numpy as np
from numpy.typing import NDArray

from .pixels import Look, channel_images

__all__ = ["Blob", "Compression", "Pool", "make_pool"]

Compression = Literal["bslz4", "lz4", "none"]


class Blob(msgspec.Struct, frozen=True):
    """One channel of one image, as it is sent.

    `content` is laid out as HDF5's filter stores a chunk (32008, 32004), or raw; `digest` is its MD5 in hexadecimal.
    `block` is the one LZ4 block without any framing that stream v1 has for `lz4<`.
    """

    content: bytes
    digest: str
    block: bytes | None = None


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """`images[i]` has one blob for each of `channels`."""

    channels: tuple[str, ...]
    shape: tuple[int, int]
    dtype: str
    compression: Compression
    images: tuple[tuple[Blob, ...], ...]


def make_pool(look: Look, compression: Compression, masks: Mapping[str, NDArray[np.bool_]]) -> Pool:
    """Computes the images and compresses them."""
    images = channel_images(look, masks)
    return Pool(
        channels=look.channels,
        shape=look.scene.shape,
        dtype=look.scene.dtype,
        compression=compression,
        images=tuple(tuple(_blob(pixels, compression) for pixels in image) for image in images),
    )


def _blob(pixels: NDArray[Any], compression: Compression) -> Blob:
    content = pixels.tobytes() if compression == "none" else _chunk(pixels, compression)
    block = lz4.block.compress(pixels.data, store_size=False) if compression == "lz4" else None
    return Blob(content, hashlib.md5(content, usedforsecurity=False).hexdigest(), block)


def _chunk(pixels: NDArray[Any], compression: Compression) -> bytes:
    """What HDF5's own filter makes of the pixels: its header is the one that the vendor sends."""
    chosen = hdf5plugin.LZ4() if compression == "lz4" else hdf5plugin.Bitshuffle(cname="lz4")
    with h5py.File("chunk.h5", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("chunk", data=pixels, chunks=pixels.shape, compression=chosen)
        file.flush()
        _, chunk = dataset.id.read_direct_chunk((0,) * pixels.ndim)
        return bytes(chunk)
