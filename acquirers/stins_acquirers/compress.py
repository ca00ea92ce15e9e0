"""Bitshuffle-LZ4 chunks exactly as HDF5 stores them: HDF5 itself makes them."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["bslz4_chunk"]


def bslz4_chunk(pixels: NDArray[np.generic]) -> bytes:
    """The chunk that filter 32008 makes of these pixels, its 12 bytes of header included."""
    # Here, not above: most acquirers compress nothing, and HDF5 is a tenth of what loading one takes.
    import h5py
    import hdf5plugin

    with h5py.File("chunk.h5", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset(
            "chunk", data=pixels, chunks=pixels.shape, compression=hdf5plugin.Bitshuffle(cname="lz4")
        )
        file.flush()
        _, chunk = dataset.id.read_direct_chunk((0,) * pixels.ndim)
        return bytes(chunk)
