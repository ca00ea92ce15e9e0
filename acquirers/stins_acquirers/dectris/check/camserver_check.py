"""Looks at a camserver, and at the folder in which its images are to appear. Nothing is set there."""

import os
import shutil
from pathlib import Path
from typing import Final

from stins.findings import Checker, Findings, Report, Rule, Severity

from ...backend import BackendError
from ..pilatus.camserver import Camserver, RefusedError
from ..pilatus.energies import told
from ..pilatus.identity import read_climate, read_identity
from ..pilatus.settings import PilatusSettings
from .address import host_and_port

__all__ = ["CAMSERVER"]

_EXAMPLE: Final = "camserver://127.0.0.1:41234/ramdisk/stins"
_PORT: Final = 41_234
_STEP: Final = "check"
_ANSWER_S: Final = 5.0
_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE

ANSWERS = Rule(
    "camserver.answers",
    _E,
    "camserver answers",
    "start it (runtvx, or camonly); look at address and port, and at firewalls between",
)
SIZE = Rule("camserver.size", _W, "it says how large images are", "set `shape` to their rows and columns")
BUSY = Rule("camserver.busy", _N, "no series is under way", "wait for its end, or end it in camserver's window (k)")
ENERGY = Rule(
    "camserver.energy", _W, "energy and threshold are set", "set `incident_energy`: frames mean nothing before"
)
FOLDER = Rule(
    "camserver.folder",
    _E,
    "the folder of the images is here, and can be written",
    "run the acquirer on camserver's computer, or mount the folder; give both the same user or group",
)
_RULES: Final = (ANSWERS, SIZE, BUSY, ENERGY, FOLDER)


def _check(url: str) -> Report:
    parts, host, port = host_and_port(url, _PORT, _EXAMPLE)
    findings, facts = Findings(), dict[str, str]()
    camserver = Camserver(host, port, _ANSWER_S)
    try:
        facts |= _camserver(camserver, findings)
    except BackendError as error:
        findings.fault(ANSWERS, camserver.address, str(error), "an answer")
    finally:
        camserver.close()
    folder = Path(parts.path) if parts.path.strip("/") else None
    if folder is not None:
        facts |= _folder(folder, findings)
    return Report(url, "detector", findings, {"rules": len(_RULES) - (folder is None)}, facts)


def _camserver(camserver: Camserver, findings: Findings) -> dict[str, str]:
    camserver.connect(_STEP)
    facts = {"version": camserver.command(_STEP, "version").text.strip()}
    climate = read_climate(camserver, _STEP)
    for number, temperature in climate.temperatures.items():
        humidity = climate.humidities[number]
        facts[f"sensor {number}"] = f"{temperature:g} degrees Celsius, relative humidity {humidity:g} %"
    try:
        energies = told(*(camserver.command(_STEP, word).text for word in ("setenergy", "setthreshold")))
        identity = read_identity(camserver, _STEP, PilatusSettings(folder=Path("/")))
    except RefusedError as error:
        findings.fault(BUSY, camserver.address, str(error), "an answer, as when no images are taken")
        return facts
    except BackendError as error:
        if not camserver.connected:
            raise
        findings.fault(SIZE, camserver.address, str(error), "rows and columns")
        return facts
    if energies.threshold is None:
        findings.fault(ENERGY, camserver.address, "a threshold that has not been set", "one that follows the energy")
    rows, columns = identity.shape
    facts |= {"detector": identity.name, "size": f"{rows} rows of {columns} pixels"}
    facts["least time between exposures"] = f"{1000 * identity.readout_s:g} ms"
    known = {"energy": energies.incident, "threshold": energies.threshold}
    return facts | {name: f"{energy:g} eV" for name, energy in known.items() if energy is not None}


def _folder(folder: Path, findings: Findings) -> dict[str, str]:
    if not folder.is_dir():
        findings.fault(FOLDER, str(folder), "no such folder on this computer", "the folder that camserver writes to")
        return {}
    if not os.access(folder, os.W_OK | os.X_OK):
        findings.fault(FOLDER, str(folder), "a folder in which nothing can be deleted", "write permission")
    free = shutil.disk_usage(folder).free
    return {"room in the folder": f"{free >> 20} MiB"}


CAMSERVER: Final = Checker(_EXAMPLE, _RULES, _check)
