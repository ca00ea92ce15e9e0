"""What the processes of a beamline file would refuse of it, asked when one of them did: all is mended at once then."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from stins import StinsError
from stins.daemon import ConfigError

from ..processes import Kind, refused_of
from .config import BeamlineConfig, DetectorConfig
from .detector_processes import acquirer_config
from .simulators import led_nowhere

__all__ = ["further_refusals"]

log = logging.getLogger(__name__)

#: Each takes a core for a second.
_AT_ONCE = 4
#: A recorder that only looks at its configuration connects to nothing.
_NOWHERE = "tcp://127.0.0.1:1"


class _Part(msgspec.Struct, frozen=True):
    """What makes the configuration of one process, and where it stands in the file."""

    place: str
    kind: Kind
    config: Callable[[], Mapping[str, Any]]

    def refused(self) -> list[str]:
        """None where nobody can be asked: what was refused first must be seen, whatever goes wrong here."""
        try:
            return [f"{self.place}: {line}" for line in refused_of(self.kind, self.config())]
        except ConfigError as error:
            return [str(error)]
        except Exception as error:
            log.debug("%s: nobody could be asked: %r", self.place, error)
            return []


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
        yield _Part(f"detectors.{name}.acquirer", "acquirer", partial(_acquirer, name, detector))
        for recorder in detector.each_recorder:
            own = {"name": name, "sources": [_NOWHERE], "roots": [str(config.data)], **recorder}
            yield _Part(f"detectors.{name}.recorder", "recorder", partial(dict[str, Any], own))


def _acquirer(name: str, detector: DetectorConfig) -> dict[str, Any]:
    acquirer = detector.acquirer
    if detector.simulator is not None:
        try:
            acquirer = led_nowhere(detector.simulator, acquirer)
        except ConfigError as error:
            raise ConfigError(f"detectors.{name}.{error}") from error
    return acquirer_config(name, acquirer, len(detector.each_recorder))
