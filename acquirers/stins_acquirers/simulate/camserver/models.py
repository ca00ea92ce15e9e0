"""The detectors that can be simulated: modules on a grid, and what sets PILATUS2 and PILATUS3 apart."""

from typing import Final

import msgspec

__all__ = ["GAP", "MODELS", "MODULE", "Family", "Model"]

#: Rows and columns of a module, and of the gap between two (user manual, system description).
MODULE: Final = (195, 487)
GAP: Final = (17, 7)


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """`readout_s` is the time between two exposures; `release` what `version` says; `tells_readout`: `readouttime` is
    understood; `date` is how image headers write the time."""

    name: str
    readout_s: float
    release: str
    tells_readout: bool
    date: str


class Model(msgspec.Struct, frozen=True):
    """One detector: `grid` is its modules, down and across."""

    family: Family
    size: str
    grid: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, gaps included."""
        rows, columns = (
            count * side + (count - 1) * gap for count, side, gap in zip(self.grid, MODULE, GAP, strict=True)
        )
        return rows, columns


_P2 = Family(
    name="PILATUS",
    readout_s=0.003,
    release="tvx-7.3.13-121212",
    tells_readout=False,
    date="%Y/%b/%d %H:%M:%S",
)
_P3 = Family(
    name="PILATUS3",
    readout_s=0.00095,
    release="7.9.0",
    tells_readout=True,
    date="%Y-%m-%dT%H:%M:%S",
)
_GRIDS = {
    "100k": (1, 1),
    "200k": (2, 1),
    "300k": (3, 1),
    "300k-w": (1, 3),
    "1m": (5, 2),
    "2m": (8, 3),
    "6m": (12, 5),
}
MODELS: Final = {
    f"{name}-{size}": Model(family, size.upper(), grid)
    for name, family in (("pilatus2", _P2), ("pilatus3", _P3))
    for size, grid in _GRIDS.items()
}
