"""Faults on request: what goes wrong with which request, or which image."""

import threading
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from stins.daemon import Model

__all__ = ["Fault", "Faults"]

FaultKind = Literal["refuse", "http", "silence", "slow", "drop_images", "restart", "high_voltage_off", "full_buffer"]


class Fault(Model):
    """Something that goes wrong."""

    kind: FaultKind
    """`refuse`: a PUT of the key is answered with 400; `http`: any request to it with `status`; `silence`: with
    nothing at all; `slow`: after `seconds`. `drop_images`: images from number `image` on, `images` of them, are lost;
    `restart`: the service restarts when image `image` is due, or at once without one: 502 for `seconds`, then state
    `na`, series are numbered from 1 again. `high_voltage_off`: no photon is counted. `full_buffer`: all images are
    lost."""
    key: str = "*"
    """Of requests: which, as MODULE/TASK/KEY with * for anything, e.g. detector/config/count_time."""
    status: int = Field(default=500, ge=400, le=599)
    """HTTP status of `http`."""
    seconds: float = Field(default=1.0, ge=0, le=3600, json_schema_extra={"unit": "s"})
    """How long `slow` and `restart` take."""
    image: int | None = Field(default=None, ge=0)
    """The first image that is hit."""
    images: int = Field(default=1, ge=1)
    """How many images are hit."""
    times: int = Field(default=0, ge=0)
    """How often a request is hit, or in how many series an image; 0: until the fault is taken back."""


class Faults:
    """The faults that are on. Used by several threads."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = list(faults)
        self._hits: dict[int, int] = {}

    def add(self, fault: Fault) -> None:
        """Turns one on."""
        with self._lock:
            self._faults = [*self._faults, fault]

    def clear(self) -> None:
        """Turns all off."""
        with self._lock:
            self._faults, self._hits = [], {}

    def active(self) -> tuple[Fault, ...]:
        """Those that are on and not used up."""
        return tuple(self._faults)

    def of_request(self, method: str, key: str) -> Fault | None:
        """The first that this request runs into."""
        return self._take(
            lambda fault: (
                fault.kind in ("http", "silence", "slow", "refuse")
                and (fault.kind != "refuse" or method == "PUT")
                and fnmatchcase(key, fault.key)
            )
        )

    def of_image(self, number: int) -> Fault | None:
        """The first that this image of a series runs into."""
        if not self._faults:
            return None
        return self._take(lambda fault: _hits(fault, number), counts=lambda fault: fault.image == number)

    def has(self, kind: FaultKind) -> bool:
        """Whether one of that kind is on."""
        return any(fault.kind == kind for fault in self._faults)

    def _take(
        self, hit: Callable[[Fault], bool], counts: Callable[[Fault], bool] = lambda _fault: True
    ) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if hit(fault):
                    if counts(fault):
                        self._count(fault)
                    return fault
        return None

    def _count(self, fault: Fault) -> None:
        if fault.times == 0:
            return
        hits = self._hits[id(fault)] = self._hits.get(id(fault), 0) + 1
        if hits >= fault.times:
            self._faults = [other for other in self._faults if other is not fault]
            del self._hits[id(fault)]


def _hits(fault: Fault, number: int) -> bool:
    if fault.kind == "full_buffer":
        return True
    if fault.image is None:
        return False
    if fault.kind == "restart":
        return fault.image == number
    return fault.kind == "drop_images" and fault.image <= number < fault.image + fault.images
