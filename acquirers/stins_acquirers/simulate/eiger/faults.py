"""Faults on request: what goes wrong with which request, or which image."""

import threading
from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from stins import StinsError
from stins.daemon import Model

__all__ = ["Fault", "FaultKind", "Faults"]

FaultKind = Literal[
    "refuse", "http", "silence", "slow", "drop_images", "restart", "high_voltage_off", "full_buffer", "stream_error"
]


class Fault(Model):
    """Something that goes wrong."""

    kind: FaultKind
    """`refuse`: a PUT of the key is answered with 400; `http`: any request to it with `status`; `silence`: with
    nothing at all; `slow`: after `seconds`. `drop_images`: images from number `image` on, `images` of them, are lost;
    `restart`: the service restarts when image `image` is due, or at once without one: 502 for `seconds`, then state
    `na`, series are numbered from 1 again. `high_voltage_off`: no photon is counted. `full_buffer`: all images are
    lost. `stream_error`: the same, and no start is sent; the stream's state is `error` until its `initialize`."""
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
    """How many requests are hit, or in how many series images are (a series counts when it ends); 0: until the fault is
    taken back. Of `stream_error`: how often the stream has to be initialized (0: once)."""


_OF_REQUESTS = ("refuse", "http", "silence", "slow")


class Faults:
    """The faults that are on. Used by several threads."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._on = [_On(fault) for fault in faults]
        self._requests: tuple[str, ...] | None = None
        self.hits = 0
        """How many requests and images have run into one."""

    def know(self, requests: Iterable[str]) -> None:
        """What may be asked for: what hits nothing of that is refused, also of those that are on.

        Raises:
            StinsError: one of them hits nothing.
        """
        self._requests = tuple(requests)
        for on in self._on:
            self._check(on.fault)

    def add(self, fault: Fault) -> None:
        """Turns one on.

        Raises:
            StinsError: its key is none of those that may be asked for.
        """
        self._check(fault)
        with self._lock:
            self._on = [*self._on, _On(fault)]

    def clear(self) -> None:
        """Turns all off."""
        with self._lock:
            self._on = []

    def initialize_stream(self) -> None:
        """Its command `initialize` was given: a `stream_error` is over, unless it takes several."""
        with self._lock:
            for on in self._on:
                on.hits += on.fault.kind == "stream_error"
            self._on = [on for on in self._on if on.fault.kind != "stream_error" or on.hits < on.fault.times]

    def active(self) -> tuple[Fault, ...]:
        """Those that are on and not used up."""
        return tuple(on.fault for on in self._on)

    def has(self, kind: FaultKind) -> bool:
        """Whether one of that kind is on."""
        return any(on.fault.kind == kind for on in self._on)

    def of_request(self, method: str, key: str) -> Fault | None:
        """The first that this request runs into."""
        with self._lock:
            for on in self._on:
                if _hits_request(on.fault, method, key):
                    self.hits += 1
                    self._count(on)
                    return on.fault
        return None

    def of_image(self, number: int) -> Fault | None:
        """The first that this image of a series runs into."""
        if not self._on:
            return None
        with self._lock:
            for on in self._on:
                if _hits_image(on.fault, number):
                    self.hits += 1
                    on.in_series = True
                    return on.fault
        return None

    def end_series(self) -> None:
        """No image of it comes any more: those that have hit some have hit it."""
        with self._lock:
            for on in self._on:
                # A stream that is in error stays so until it is initialized.
                if on.in_series and on.fault.kind != "stream_error":
                    self._count(on)
                on.in_series = False

    def _check(self, fault: Fault) -> None:
        if fault.kind not in _OF_REQUESTS or self._requests is None:
            return
        if not any(fnmatchcase(request, fault.key) for request in self._requests):
            near = get_close_matches(fault.key, self._requests, cutoff=0.3) or self._requests[:3]
            raise StinsError(
                f"fault: key: got {fault.key!r}, which no request is for; expected MODULE/TASK/KEY with * for "
                f"anything, such as {', '.join(near)}"
            )

    def _count(self, on: "_On") -> None:
        on.hits += 1
        if on.hits == on.fault.times:
            self._on = [other for other in self._on if other is not on]


class _On:
    """A fault, how often it hit, and whether it has hit an image of the present series."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.hits = 0
        self.in_series = False


def _hits_request(fault: Fault, method: str, key: str) -> bool:
    if fault.kind not in _OF_REQUESTS or (fault.kind == "refuse" and method != "PUT"):
        return False
    return fnmatchcase(key, fault.key)


def _hits_image(fault: Fault, number: int) -> bool:
    if fault.kind in ("full_buffer", "stream_error"):
        return True
    first, last = fault.image, _last(fault)
    return (
        fault.kind in ("drop_images", "restart") and first is not None and last is not None and first <= number <= last
    )


def _last(fault: Fault) -> int | None:
    """The last image that it hits in a series."""
    if fault.image is None:
        return None
    return fault.image + fault.images - 1 if fault.kind == "drop_images" else fault.image
