"""What a trigger starts, in each trigger mode."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec

from .keys import RefusedError, Value
from .orders import Exposure

__all__ = ["EXTERNAL", "INTERNAL", "Pulses", "check_images", "commanded", "pulsed"]

INTERNAL = ("ints", "inte")
EXTERNAL = ("exts", "exte", "extg")
#: Modes in which the trigger says how long an image counts: one image each.
_ENABLED = ("inte", "exte")


_MOST_PULSES = 100_000
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]


class Pulses(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A train of external pulses: how many, how long each lasts (s), and how long from one to the next (s)."""

    count: Annotated[int, msgspec.Meta(ge=1, le=_MOST_PULSES)] = 1
    width_s: _Seconds = 0.001
    period_s: _Seconds = 0.0


def check_images(config: Mapping[str, Value]) -> None:
    """Raises `RefusedError` where the mode and the number of images contradict each other."""
    if config["trigger_mode"] in _ENABLED and config["nimages"] != 1:
        raise RefusedError(f"arm: nimages is {config['nimages']}, trigger_mode {config['trigger_mode']} needs 1")


def commanded(config: Mapping[str, Value], count_s: float | None, now_ns: int, appendix: Value) -> Exposure:
    """What the command `trigger` starts; `count_s` is its body's, in `inte`."""
    return Exposure(
        images=config["nimages"],
        start_ns=now_ns + _ns(config.get("trigger_start_delay", 0.0)),
        period_ns=_ns(config["frame_time"]),
        count_ns=_ns(config["count_time"] if count_s is None else count_s),
        appendix=appendix,
    )


def pulsed(config: Mapping[str, Value], pulses: Pulses, now_ns: int, gates: int, appendix: Value) -> Iterator[Exposure]:
    """What external pulses start, each at its time.

    `exts`: a series of images for each pulse; `exte`: an image as long as the pulse; `extg`: an image for every
    `nexpi` pulses, counting while they last, of which `gates` came before.
    """
    start_ns = now_ns + _ns(config.get("trigger_start_delay", 0.0))
    period_ns, width_ns = _ns(max(pulses.period_s, pulses.width_s)), _ns(pulses.width_s)
    if config["trigger_mode"] == "extg":
        each = config["nexpi"]
        images = (gates + pulses.count) // each
        if images:
            span_ns = (each - 1) * period_ns + width_ns
            yield Exposure(
                images=images,
                start_ns=start_ns - gates * period_ns,
                period_ns=each * period_ns,
                count_ns=span_ns,
                real_ns=each * width_ns,
                appendix=appendix,
            )
        return
    enabled = config["trigger_mode"] in _ENABLED
    for pulse in range(pulses.count):
        yield Exposure(
            images=config["nimages"],
            start_ns=start_ns + pulse * period_ns,
            period_ns=_ns(config["frame_time"]),
            count_ns=width_ns if enabled else _ns(config["count_time"]),
            appendix=appendix,
        )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
