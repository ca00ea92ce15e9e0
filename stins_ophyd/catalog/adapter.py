"""How a catalogue reads our files: also where an event has several frames, and the file has more than its events."""

from typing import Any

from tiled.adapters.hdf5 import HDF5Adapter, HDF5ArrayAdapter
from tiled.structures.core import StructureFamily

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

    def __init__(self, array: Any, structure: Any, **keywords: Any) -> None:
        shape = structure.shape
        if array.ndim + 1 == len(shape) and array.shape[1:] == shape[2:]:
            array = array[: shape[0] * shape[1]]
        super().__init__(array, structure, **keywords)
