"""What the processes of a beamline file would refuse of it, asked when one of them did: all is mended at once then."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from stins import StinsError

from ..processes import Kind, refused_of
from .config import BeamlineConfig

__all__ = ["further_refusals"]

#: Each takes a core for a second.
_AT_ONCE = 4
#: A recorder that only looks at its configuration connects to nothing.
_NOWHERE = "tcp://127.0.0.1:1"


class _Part(msgspec.Struct, frozen=True):
    """The configuration of one process, and where it stands in the file."""

    place: str
    kind: Kind
    config: dict[str, Any]

    def refused(self) -> list[str]:
        return [f"{self.place}: {line}" for line in refused_of(self.kind, self.config)]


def further_refusals(config: BeamlineConfig, running: Collection[str], error: StinsError) -> list[str]:
    """A line for each thing that is wrong and does not stand in `error`, of detectors that are not `running`."""
    with ThreadPoolExecutor(_AT_ONCE, "check") as pool:
        refused = list(pool.map(_Part.refused, _parts(config, running)))
    said = [
        line.strip().removeprefix("stins acquirer: ").removeprefix("stins recorder: ")
        for line in str(error).splitlines()
    ]
    lines = dict.fromkeys(line for lines in refused for line in lines)
    return [line for line in lines if not any(part and line.endswith(part) for part in said)]


def _parts(config: BeamlineConfig, running: Collection[str]) -> Iterator[_Part]:
    for name, detector in config.detectors.items():
        if name in running:
            continue
        if detector.simulator is None:  # else it is led to that, and lacks its address until then
            yield _Part(f"detectors.{name}.acquirer", "acquirer", detector.acquirer)
        for recorder in detector.each_recorder:
            defaults = {"name": name, "sources": [_NOWHERE], "roots": [str(config.data)]}
            yield _Part(f"detectors.{name}.recorder", "recorder", {**defaults, **recorder})
