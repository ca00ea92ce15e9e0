"""The streams as somebody else reads them: cbor2, the vendor's own decompression, and HDF5's filters."""

from typing import Any

import cbor2
import h5py
import hdf5plugin
import msgspec
import numpy as np
from numpy.typing import NDArray
from vendor_decoder import decompress

_TYPES = {64: "u1", 69: "<u2", 70: "<u4", 85: "<f4"}
_COMPRESSED, _MULTI_DIM = 56500, 40


def loads(message: bytes) -> dict[str, Any]:
    """A message of stream v2, all its arrays decoded."""
    return dict(_plain(cbor2.loads(message)))


def _plain(item: Any) -> Any:
    """Tags are taken apart here and not by a hook: cbor2 changed the hook's arguments between 5 and 6."""
    if isinstance(item, cbor2.CBORTag):
        return _array(item)
    if isinstance(item, list | tuple):
        return [_plain(part) for part in item]
    if hasattr(item, "items"):
        return {key: _plain(value) for key, value in item.items()}
    return item


def _array(item: cbor2.CBORTag) -> Any:
    if item.tag == _MULTI_DIM:
        shape, typed = item.value
        return _array(typed).reshape(shape)
    content = item.value
    if isinstance(content, cbor2.CBORTag):
        assert content.tag == _COMPRESSED
        algorithm, item_size, blob = content.value
        content = decompress(blob, algorithm, elem_size=item_size) if item_size else decompress(blob, algorithm)
    return np.frombuffer(content, _TYPES[item.tag])


def blobs(message: bytes) -> dict[str, tuple[str, bytes]]:
    """Of an image of stream v2 each channel's compression and bytes, as they are."""
    found = {}
    for channel, multi in cbor2.loads(message)["data"].items():
        content = multi.value[1].value
        compressed = isinstance(content, cbor2.CBORTag)
        found[channel] = (content.value[0], content.value[2]) if compressed else ("none", content)
    return found


def by_hdf5(blob: bytes, compression: str, shape: tuple[int, int], dtype: str) -> NDArray[Any]:
    """What HDF5's filter makes of the bytes: what a reader of a file would see."""
    chosen = {"bslz4": hdf5plugin.Bitshuffle(cname="lz4"), "lz4": hdf5plugin.LZ4(), "none": None}[compression]
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("image", shape, dtype, chunks=shape, compression=chosen)
        dataset.id.write_direct_chunk((0, 0), blob)
        return np.asarray(dataset[()])


def v1_image(parts: list[bytes]) -> tuple[dict[str, Any], NDArray[Any]]:
    """An image of stream v1: its JSON parts as one, and its pixels."""
    head, described, blob, config, *_ = parts
    about = msgspec.json.decode(head) | msgspec.json.decode(described) | msgspec.json.decode(config)
    dtype = np.dtype(about["type"])
    encoding = about["encoding"]
    if encoding == "<":
        raw = blob
    elif encoding == "lz4<":
        raw = _lz4_block(blob, dtype.itemsize * about["shape"][0] * about["shape"][1])
    else:
        assert encoding == f"bs{dtype.itemsize * 8}-lz4<"
        raw = decompress(blob, "bslz4", elem_size=dtype.itemsize)
    return about, np.frombuffer(raw, dtype).reshape(tuple(reversed(about["shape"])))


def _lz4_block(block: bytes, size: int) -> bytes:
    """A bare block has no frame; with the one of HDF5's filter in front the vendor's decoder reads it."""
    frame = size.to_bytes(8, "big") + size.to_bytes(4, "big") + len(block).to_bytes(4, "big")
    return bytes(decompress(frame + block, "lz4"))
