"""Photon energy, threshold and gain: what is wanted, what camserver has, and the command between the two. No I/O."""

import re
from typing import Final

import msgspec

from .settings import PilatusSettings

__all__ = ["Energies", "told", "trimming"]

_ENERGY = re.compile(r"Energy setting:\s*([\d.]+)\s*eV")
_THRESHOLD = re.compile(r"threshold:\s*([\d.]+)\s*eV")
_GAIN = re.compile(r"Settings:\s*(\w+(?: \w+)?) gain")
_GAINS: Final = {"low": "lowG", "mid": "midG", "high": "highG", "ultra high": "uhighG", "uhigh": "uhighG"}
_SAME_EV: Final = 1.0


class Energies(msgspec.Struct, frozen=True):
    """Energies in eV; None: not known, or left to the detector."""

    incident: float | None = None
    threshold: float | None = None
    gain: str | None = None

    @classmethod
    def wanted(cls, settings: PilatusSettings) -> "Energies":
        """Those that the settings ask for."""
        return cls(settings.incident_energy, settings.threshold_energy, settings.gain)


def told(energy: str, threshold: str) -> Energies:
    """What camserver answers to `setenergy` and to `setthreshold`, each without a value."""
    gain = _GAIN.search(threshold)
    word = gain[1].lower() if gain else ""
    return Energies(_number(_ENERGY, energy), _number(_THRESHOLD, threshold), _GAINS.get(word.removesuffix("g"), None))


def _number(pattern: re.Pattern[str], text: str) -> float | None:
    found = pattern.search(text)
    return float(found[1]) if found else None


def trimming(wanted: Energies, known: Energies) -> str | None:
    """The command that brings about what is wanted; None where nothing has to change."""
    incident_changes = _differs(wanted.incident, known.incident)
    gain_changes = wanted.gain is not None and wanted.gain != known.gain
    if not (incident_changes or gain_changes or _differs(wanted.threshold, known.threshold)):
        return None
    incident = wanted.incident or known.incident
    if wanted.threshold is None and wanted.gain is None and incident is not None:
        return f"setenergy {incident:.0f}"
    threshold = wanted.threshold or (incident / 2 if incident_changes and incident else known.threshold)
    if threshold is None:
        threshold = (incident or 0.0) / 2
    words = ["setthreshold"]
    words += [] if incident is None else ["energy", f"{incident:.0f}"]
    words += [] if wanted.gain is None else [wanted.gain]
    return " ".join([*words, f"{threshold:.0f}"])


def _differs(wanted: float | None, known: float | None) -> bool:
    return wanted is not None and (known is None or abs(wanted - known) > _SAME_EV)
