"""How numbers of frames are called, and what cannot be asked for. Pure values."""

import re
from collections.abc import Iterator

from .control import NumbersRequest, Region

__all__ = ["areas", "images", "name_of", "names_of", "problem_with", "problems_with"]

#: It becomes part of a data key, and of a path in HDF5.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def areas(request: NumbersRequest) -> tuple[Region | None, ...]:
    """Of what numbers are asked for: of the whole frame (None), then of each region."""
    return (None, *request.regions)


def images(request: NumbersRequest) -> tuple[str, ...]:
    """Of which of its images: the first one (""), then each channel."""
    return ("", *request.channels)


def name_of(area: Region | None, key: str, channel: str = "") -> str:
    """How a number is called: `sum` of the whole frame, `NAME_sum` of a region, `CHANNEL_NAME_sum` of a channel's."""
    return "_".join(part for part in (channel, area.name if area else "", key) if part)


def names_of(request: NumbersRequest) -> tuple[str, ...]:
    """All numbers of a frame, in the order in which they are kept."""
    return tuple(
        name_of(area, key, channel) for channel in images(request) for area in areas(request) for key in request.keys
    )


def problem_with(request: NumbersRequest) -> str:
    """Why numbers cannot be asked for so, in one text; empty where they can."""
    return "; ".join(problems_with(request))


def problems_with(request: NumbersRequest) -> tuple[str, ...]:
    """Each reason why numbers cannot be asked for so; none where they can."""
    # What is called twice, or wrongly, makes numbers that are called twice: that is no further reason.
    return tuple(dict.fromkeys(_problems(request))) or tuple(_called_alike(request))


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
    for channel in request.channels:
        if not _NAME.fullmatch(channel):
            yield f"got a channel called {channel!r}, expected letters, digits and _, a letter first"


def _called_alike(request: NumbersRequest) -> Iterator[str]:
    found, names = names_of(request), [region.name for region in request.regions]
    if twice := sorted({name for name in found if found.count(name) > 1}):
        yield f"got regions {names}, channels {list(request.channels)}, expected one number called {twice[0]}, not two"


def _rectangle(region: Region) -> str:
    return f"{region.rows} x {region.columns} pixels from ({region.row}, {region.column}) on"
