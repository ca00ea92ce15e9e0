"""What each command of camserver does to the camera, and how it is answered. No I/O.

Sources of names and answers: user manuals of PILATUS and PILATUS3 (section on camserver's commands), and what public
drivers for these detectors expect of them. Where those are silent on the wording of a refusal, it is this module's own.
"""

import os
from collections.abc import Callable
from typing import Final, TypeAlias

from .answers import Answer, error, ok
from .camera import Camera

__all__ = ["COMMANDS", "Command", "full_name"]

Command: TypeAlias = Callable[[Camera, str], Answer]

_GAINS = ("lowg", "midg", "highg", "uhighg")
_MOST_IMAGES = 999_999
_SHORTEST_S, _LONGEST_S = 1e-7, 5_184_000.0
_LONGEST_DELAY_S = 64.0
_ENERGIES = (3_500, 40_000)


def _integer(name: str, text: str, least: int, most: int) -> int | Answer:
    try:
        value = int(text)
    except ValueError:
        return error(f"{name}: not a number: {text}")
    return value if least <= value <= most else error(f"{name}: out of range: {text}")


def _seconds(name: str, text: str, least: float, most: float) -> float | Answer:
    try:
        value = float(text)
    except ValueError:
        return error(f"{name}: not a number: {text}")
    return value if least <= value <= most else error(f"{name}: out of range: {text}")


def _integer_setting(name: str, attribute: str, least: int, most: int) -> Command:
    def command(camera: Camera, text: str) -> Answer:
        if text:
            value = _integer(name, text, least, most)
            if isinstance(value, Answer):
                return value
            setattr(camera, attribute, value)
        return ok(f"{name} set to: {getattr(camera, attribute)}")

    return command


def _time_setting(name: str, attribute: str, least: float, most: float, unit: str) -> Command:
    def command(camera: Camera, text: str) -> Answer:
        if text:
            value = _seconds(name, text, least, most)
            if isinstance(value, Answer):
                return value
            setattr(camera, attribute, value)
        return ok(f"{name} set to: {getattr(camera, attribute):.7f} {unit}")

    return command


def _expperiod(camera: Camera, text: str) -> Answer:
    if text:
        value = _seconds("Exposure period", text, _SHORTEST_S, _LONGEST_S)
        if isinstance(value, Answer):
            return value
        if value - camera.exposure_s < camera.model.family.readout_s - 1e-9:
            return error(f"Exposure period {value:.7f} is too short for an exposure of {camera.exposure_s:.7f} sec")
        camera.period_s = value
    return ok(f"Exposure period set to: {camera.period_s:.7f} sec")


def _gapfill(camera: Camera, text: str) -> Answer:
    if camera.model.grid == (1, 1):
        return error("Gap-fill: this detector has no gaps")
    if text:
        value = _integer("Gap-fill", text, -1, 0)
        if isinstance(value, Answer):
            return value
        camera.gap_fill = value
    return ok(f"Detector gap-fill is: {camera.gap_fill}")


def _settings(camera: Camera) -> str:
    return f" Settings: {camera.gain} gain; threshold: {camera.threshold} eV; vcmp: 0.654 V\n Trim file:\n  (nil)"


def _setenergy(camera: Camera, text: str) -> Answer:
    if not text:
        if camera.energy is None:
            return ok("Threshold has not been set")
        return ok(f"Energy setting: {camera.energy} eV\n{_settings(camera)}")
    value = _seconds("Energy", text, *_ENERGIES)
    if isinstance(value, Answer):
        return value
    camera.set_threshold(round(value), round(value / 2), None)
    return ok("Setting the energy: /tmp/setthreshold.cmd")


def _setthreshold(camera: Camera, text: str) -> Answer:
    """`[energy E] [gain] T`."""
    if not text:
        return ok("Threshold has not been set" if camera.threshold is None else _settings(camera))
    words = text.lower().split()
    energy: int | Answer | None = None
    if words[0] == "energy" and len(words) > 1:
        energy = _integer("Energy", words[1], *_ENERGIES)
        words = words[2:]
    if isinstance(energy, Answer):
        return energy
    gain = words.pop(0) if len(words) == 2 else None
    if len(words) != 1 or (gain is not None and gain not in _GAINS):
        return error(f"ERROR: unknown gain setting: {text}")
    threshold = _integer("Threshold", words[0], 0, 1_000_000)
    if isinstance(threshold, Answer):
        return threshold
    # Beyond what it can do, it does what comes next.
    threshold = min(max(threshold, _ENERGIES[0] // 2), _ENERGIES[1])
    camera.set_threshold(energy or 2 * threshold, threshold, gain)
    return ok("/tmp/setthreshold.cmd")  # noqa: S108  # what the real one answers


def _mxsettings(camera: Camera, text: str) -> Answer:
    words = text.split()
    if len(words) % 2:
        return error(f"MX settings: a value is missing: {text}")
    camera.remarks |= dict(zip(words[::2], words[1::2], strict=True))
    return ok(" ".join(f"{key} {value}" for key, value in camera.remarks.items()))


def _headerstring(camera: Camera, text: str) -> Answer:
    camera.header = text.strip('"')
    return ok()


def _tau(_camera: Camera, _text: str) -> Answer:
    return ok("Rate correction is on; tau = 1.240e-07 s, cutoff = 1221026 counts")


def _readouttime(camera: Camera, _text: str) -> Answer:
    if not camera.model.family.tells_readout:
        return error("*** Unrecognized command: readouttime", code=1)
    return ok(f"Detector readout time [ms]: {camera.model.family.readout_s * 1000:.3f}")


def _version(camera: Camera, _text: str) -> Answer:
    return ok(f"Code release: {camera.model.family.release}", code=24)


def _thread(_camera: Camera, text: str) -> Answer:
    channels = [(31.4, 22.1), (25.8, 33.5), (28.6, 2.0)]
    chosen = range(3) if not text else [int(text)] if text in {"0", "1", "2"} else []
    lines = [f"Channel {n}: Temperature = {channels[n][0]:.1f}C, Rel. Humidity = {channels[n][1]:.1f}%" for n in chosen]
    return ok(";\n".join(lines), code=215) if lines else error(f"No such channel: {text}", code=215)


def _telemetry(camera: Camera, _text: str) -> Answer:
    rows, columns = camera.shape
    return ok(f"=== Telemetry ===\nImage format: {columns}(w) x {rows}(h) pixels", code=18)


def _camsetup(camera: Camera, _text: str) -> Answer:
    lines = [
        "Camera definition:",
        " (nil)",
        f" Camera name: {camera.name}",
        f" Master PID is: {os.getpid()}",
        f" Controlling PID is: {os.getpid()}",
        f" Exposure time: {camera.exposure_s:.7f}",
        " Shutter is: closed",
    ]
    return ok("\n".join(lines), code=2)


def _accepted(_camera: Camera, _text: str) -> Answer:
    return ok()


COMMANDS: Final[dict[str, Command]] = {
    "camsetup": _camsetup,
    "dbglvl": _accepted,
    "delay": _time_setting("Delay time", "delay_s", 0, _LONGEST_DELAY_S, "sec"),
    "expperiod": _expperiod,
    "exptime": _time_setting("Exposure time", "exposure_s", _SHORTEST_S, _LONGEST_S, "sec."),
    "gapfill": _gapfill,
    "headerstring": _headerstring,
    "mxsettings": _mxsettings,
    "nexpframe": _integer_setting("Exposures per frame", "exposures_per_frame", 1, _MOST_IMAGES),
    "nimages": _integer_setting("N images", "images", 1, _MOST_IMAGES),
    "readouttime": _readouttime,
    "setackint": _accepted,
    "setenergy": _setenergy,
    "setthreshold": _setthreshold,
    "tau": _tau,
    "telemetry": _telemetry,
    "thread": _thread,
    "version": _version,
}


def full_name(word: str, names: "set[str]") -> str | None:
    """The command that a word means: in any case, and cut short as long as no other begins so."""
    word = word.lower()
    if word in names:
        return word
    longer = [name for name in names if name.startswith(word)] if len(word) >= 2 else []
    return longer[0] if len(longer) == 1 else None
