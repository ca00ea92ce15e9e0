"""What to ask for where nobody has ordered it: the parts know their series and their share."""

from contextlib import suppress
from pathlib import Path

import h5py

from stins.control import JoinRequest
from stins.share import part_name

from ..errors import RecorderError
from ..nexus import SERIES

__all__ = ["request_for"]


def request_for(path: Path) -> JoinRequest:
    """The order to join the parts that stand beside `path`; those that are not there are absent.

    Raises:
        RecorderError: none of them can be read.
    """
    beside = path.parent.glob(part_name(path.name, 0).replace("_part0", "_part[0-9]*"))
    for part in sorted(beside):
        with suppress(OSError, KeyError), h5py.File(part, "r", locking=False) as file:
            count = int(file[f"{SERIES}/share/count"][()])
            return JoinRequest(
                series_id=file[f"{SERIES}/id"].asstr()[()],
                filename=path.name,
                count=count,
                frames_expected=_expected(path, count),
                absent=tuple(range(count)),
            )
    raise RecorderError(f"{path}: none of its parts ({path.stem}_part0{path.suffix}, ...) stands beside it, readable")


def _expected(path: Path, count: int) -> int | None:
    """As it was joined before, or as the parts say if all of them do."""
    with suppress(OSError, KeyError), h5py.File(path, "r", locking=False) as file:
        return int(file[f"{SERIES}/frames_expected"][()])
    total = 0
    for index in range(count):
        try:
            with h5py.File(path.with_name(part_name(path.name, index)), "r", locking=False) as file:
                total += int(file[f"{SERIES}/frames_expected"][()])
        except (OSError, KeyError):
            return None
    return total
