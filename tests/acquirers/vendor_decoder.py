"""The vendor's own decoder where it is installed (`uv sync --group vendor`), else HDF5's filters."""

import h5py
import hdf5plugin

__all__ = ["decompress"]


def _by_hdf5(blob: bytes, algorithm: str, elem_size: int = 1) -> bytes:
    """What HDF5's filter makes of the bytes, which say how many they stand for."""
    shape = (int.from_bytes(blob[:8], "big") // elem_size,)
    chosen = {"bslz4": hdf5plugin.Bitshuffle(cname="lz4"), "lz4": hdf5plugin.LZ4()}[algorithm]
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("x", shape, f"u{elem_size}", chunks=shape, compression=chosen)
        dataset.id.write_direct_chunk((0,), blob)
        return bytes(dataset[()].tobytes())


try:
    from dectris.compression import decompress
except ImportError:
    decompress = _by_hdf5
