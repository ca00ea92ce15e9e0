"""How a series lies on the disk: files that a kill leaves whole, and frames in them."""

from .claim import claim
from .creation import create_file, settle
from .datasets import FrameDatasets, create_datasets
from .glance import glance
from .hdf5 import HDF5_ERRORS, LIBVER, open_swmr
from .repair import repair, repair_open
from .runs import Run
from .segment_file import has_mark, remove_segments, resize_frames
from .segmented import SegmentedStore
from .store import FrameStore, open_store
from .superblock import Superblock, bytes_gone, read_superblock
from .sync import Syncer, sync_folder
from .transaction import change
from .virtual import Piece, create_virtual, hide, unhide

__all__ = [
    "HDF5_ERRORS",
    "LIBVER",
    "FrameDatasets",
    "FrameStore",
    "Piece",
    "Run",
    "SegmentedStore",
    "Superblock",
    "Syncer",
    "bytes_gone",
    "change",
    "claim",
    "create_datasets",
    "create_file",
    "create_virtual",
    "glance",
    "has_mark",
    "hide",
    "open_store",
    "open_swmr",
    "read_superblock",
    "remove_segments",
    "repair",
    "repair_open",
    "resize_frames",
    "settle",
    "sync_folder",
    "unhide",
]
