"""Faults on request: what goes wrong with which command, or which image."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from stins.daemon import Model

__all__ = ["Fault", "FaultKind", "Faults"]

FaultKind = Literal["silence", "refuse", "slow", "lose_image", "cut_image", "full", "fail", "gone"]
_OF_COMMANDS = ("silence", "refuse", "slow")


class Fault(Model):
    """Something that goes wrong."""

    kind: FaultKind
    """`silence`: a command is not answered; `refuse`: it is answered with ERR; `slow`: it takes `seconds` longer.
    `lose_image`: image number `image` never appears; `cut_image`: its file is there, and only half of it; `full`: there
    is no room for it; `fail`: the series ends there with `7 ERR`; `gone`: the connection is closed there, and nobody
    listens for `seconds`."""
    command: str = "*"
    """Of commands: which, in small letters, with * for anything."""
    image: int = Field(default=0, ge=0)
    """Of images: which of a series, from 0."""
    seconds: float = Field(default=1.0, ge=0, le=3600, json_schema_extra={"unit": "s"})
    """How long `slow` and `gone` take."""
    times: int = Field(default=0, ge=0)
    """How often it happens; 0: until it is taken back."""


class Faults:
    """The faults that are on."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults: list[tuple[Fault, int]] = [(fault, 0) for fault in faults]

    def add(self, fault: Fault) -> None:
        """Turns one on."""
        self._faults.append((fault, 0))

    def clear(self) -> None:
        """Turns all off."""
        self._faults = []

    def of_command(self, command: str) -> Fault | None:
        """The first that this command runs into."""
        return self._take(lambda fault: fault.kind in _OF_COMMANDS and fnmatchcase(command, fault.command))

    def of_image(self, number: int) -> Fault | None:
        """The first that this image of a series runs into."""
        return self._take(lambda fault: fault.kind not in _OF_COMMANDS and fault.image == number)

    def _take(self, hit: Callable[[Fault], bool]) -> Fault | None:
        for index, (fault, hits) in enumerate(self._faults):
            if hit(fault):
                self._faults[index] = (fault, hits + 1)
                if hits + 1 == fault.times:
                    del self._faults[index]
                return fault
        return None
