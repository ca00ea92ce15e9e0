"""How numbers of frames are called, and what cannot be asked for. Pure values."""

import re
from collections.abc import Iterator

from .control import NumbersRequest, Region

__all__ = ["areas", "name_of", "names_of", "problem_with"]

#: It becomes part of a data key, and of a path in HDF5.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def areas(request: NumbersRequest) -> tuple[Region | None, ...]:
    """Of what numbers are asked for: of the whole frame (None), then of each region."""
    return (None, *request.regions)


def name_of(area: Region | None, key: str) -> str:
    """How a number is called: `sum` of the whole frame, `NAME_sum` of a region."""
    return key if area is None else f"{area.name}_{key}"


def names_of(request: NumbersRequest) -> tuple[str, ...]:
    """All numbers of a frame, in the order in which they are kept."""
    return tuple(name_of(area, key) for area in areas(request) for key in request.keys)


def problem_with(request: NumbersRequest) -> str:
    """Why numbers cannot be asked for so; empty where they can."""
    return next(_problems(request), "")


def _problems(request: NumbersRequest) -> Iterator[str]:
    if not request.keys:
        yield "got no keys, expected some of sum, mean, max, saturated"
    if len({*request.keys}) < len(request.keys):
        yield f"got keys {list(request.keys)}, expected each once"
    names = [region.name for region in request.regions]
    if len({*names}) < len(names):
        yield f"got regions {names}, expected a name of its own for each"
    for region in request.regions:
        if not _NAME.fullmatch(region.name):
            yield f"got a region called {region.name!r}, expected letters, digits and _, a letter first"
        if min(region.row, region.column) < 0 or min(region.rows, region.columns) < 1:
            yield f"region {region.name}: got {_rectangle(region)}, expected pixels of the frame, one at least"


def _rectangle(region: Region) -> str:
    return f"{region.rows} x {region.columns} pixels from ({region.row}, {region.column}) on"
