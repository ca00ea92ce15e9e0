"""What a series' file says of the numbers of its frames: which ones were asked for, and where they stand."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import msgspec

from stins.control import NumbersRequest
from stins.numbers import areas, images, name_of

from ..errors import PathError
from ..nexus import ENTRY, SERIES

__all__ = [
    "FRAME_NUMBERS",
    "Asked",
    "described",
    "numbers_file",
    "read_asked",
    "refuse_standing_numbers",
    "write_asked",
]

#: Where the numbers stand, in their own file, and by a link in that of the series.
FRAME_NUMBERS = f"{ENTRY}/frame_numbers"
_REQUEST, _MARK = f"{SERIES}/numbers", "mark"


class Asked(msgspec.Struct, frozen=True):
    """`mark` stands in both files: a file of numbers with another one is of another series."""

    request: NumbersRequest
    mark: str


def numbers_file(series: Path) -> Path:
    """The file with the numbers, beside that of the series."""
    return series.with_name(f"{series.stem}_numbers{series.suffix}")


def write_asked(file: h5py.File, path: Path, request: NumbersRequest) -> None:
    """Lets the new file of a series, which will be called `path`, say so, and link to what will be there."""
    file[_REQUEST] = msgspec.json.encode(request).decode()
    file[_REQUEST].attrs.update(
        {"encoding": "json", _MARK: uuid4().hex, "description": "the numbers that were asked for of each frame"}
    )
    # By its name alone: HDF5 looks for it beside this file.
    file[FRAME_NUMBERS] = h5py.ExternalLink(numbers_file(path).name, FRAME_NUMBERS)


def read_asked(file: h5py.File) -> Asked | None:
    """What it says; None where nobody asked."""
    found = file.get(_REQUEST)
    if found is None:
        return None
    request = msgspec.json.decode(found.asstr()[()], type=NumbersRequest)
    return Asked(request, str(found.attrs[_MARK]))


def described(request: NumbersRequest) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each column, and what it is of."""
    for channel, area in product(images(request), areas(request)):
        of: dict[str, Any] = {"channel": channel} if channel else {}
        if area is not None:
            of["region"] = [area.row, area.column, area.rows, area.columns]
        for key in request.keys:
            yield name_of(area, key, channel), {"units": "pixels" if key == "saturated" else "counts", **of}


def refuse_standing_numbers(series: Path) -> None:
    """Raises `PathError` where a file stands in the way of the numbers of a new series."""
    path = numbers_file(series)
    if path.is_symlink() or path.exists():
        raise PathError(f"filename {series.name!r}: {path} stands already, and nothing is ever overwritten")
