"""A recorder's own part of a series that it shares with others."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import msgspec

from stins import Share
from stins.control import PrepareRequest
from stins.share import ALL, part_name

from .nexus import SERIES
from .paths import resolve

__all__ = ["own_part", "share_of"]


def share_of(file: h5py.File) -> Share:
    """Which frames of its series a file has."""
    index, count = file.get(f"{SERIES}/share/index"), file.get(f"{SERIES}/share/count")
    return ALL if index is None or count is None else Share(index=int(index[()]), count=int(count[()]))


def own_part(roots: Sequence[Path], request: PrepareRequest) -> PrepareRequest:
    """The request for this recorder's own file and frames, where the series is shared; else as it is.

    Raises:
        PathError: the file that will join the parts cannot be created.
    """
    share, filename, frames = request.share, request.filename, request.frames_expected
    if share is None:
        return request
    if filename:
        resolve(roots, filename)
    return msgspec.structs.replace(
        request,
        filename=part_name(filename, share.index) if filename else filename,
        frames_expected=None if frames is None else share.before(frames),
    )
