"""How a catalogue reads our files: also where an event has several frames, and the file has more than its events."""

import math
from typing import Any

from tiled.adapters.hdf5 import HDF5Adapter, HDF5ArrayAdapter, get_hdf5_attrs, h5open
from tiled.structures.core import StructureFamily
from tiled.utils import path_from_uri

from .virtual import Rows

__all__ = ["FramesAdapter", "SeriesAdapter"]


class SeriesAdapter(HDF5Adapter):
    """Tiled's adapter for HDF5 files, with ours for the data sets in them."""

    @classmethod
    def from_catalog(cls, data_source: Any, node: Any, /, **parameters: Any) -> Any:
        """The adapter of what a run says that it has."""
        if data_source.structure_family == StructureFamily.array:
            return FramesAdapter.from_catalog(data_source, node, **parameters)
        return super().from_catalog(data_source, node, **parameters)


class FramesAdapter(HDF5ArrayAdapter):
    """One data set. The events are (events, frames, rows, columns) where the file has (frames, rows, columns).

    A file that grows, or one of a series that was aborted, has more frames than fit in the events. Tiled leaves what is
    too much out where events have one frame each; where they have several, it would refuse to read any of them.
    """

    @classmethod
    def from_catalog(cls, data_source: Any, node: Any, /, **parameters: Any) -> Any:
        """The adapter of a data set, also of one that stands in several files."""
        dataset = parameters.get("dataset")
        if not isinstance(dataset, str) or len(data_source.assets) > 1 or parameters.keys() & {"slice", "squeeze"}:
            return super().from_catalog(data_source, node, **parameters)  # none of ours
        uri, locking = data_source.assets[0].data_uri, parameters.get("locking")
        with h5open(path := path_from_uri(uri), dataset, swmr=True, locking=locking) as found:
            virtual, ndim = found.is_virtual, found.ndim
        if not virtual:
            return super().from_catalog(data_source, node, **parameters)
        structure = data_source.structure
        rows = math.prod(structure.shape[: len(structure.shape) - ndim + 1])
        array = Rows(path, dataset, rows, locking=locking).lazily()
        if array.dtype != (told := structure.data_type.to_numpy_dtype()):
            raise ValueError(f"{path}: got {array.dtype} in {dataset}, expected {told}, as the run's documents say")
        own = get_hdf5_attrs(uri, dataset, swmr=True, locking=locking)
        return cls(array, structure, metadata={**node.metadata_, **own}, specs=node.specs)

    def __init__(self, array: Any, structure: Any, **keywords: Any) -> None:
        shape = structure.shape
        if array.ndim + 1 == len(shape) and array.shape[1:] == shape[2:]:
            array = array[: shape[0] * shape[1]]
        super().__init__(array, structure, **keywords)
