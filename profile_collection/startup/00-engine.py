"""The RunEngine, and the session at the beamline of $STINS_BEAMLINE (default: beamline.yaml of this profile).

Everything stands in the folder in which that file has its data, or in $STINS_FOLDER. Files are called by day, detector,
number of the scan and uid.
"""

import os
from pathlib import Path

from bluesky import RunEngine

from stins_ophyd import StoredMetadata, TemplatePathProvider, open_session

beamline = os.environ.get("STINS_BEAMLINE") or Path(__file__).parent.parent / "beamline.yaml"
print(f"stins: the detectors of {beamline} ...", flush=True)
names = TemplatePathProvider("{date:%Y-%m-%d}/{detector}_{scan_id:05d}_{uid:.8}")
session = open_session(
    beamline,
    os.environ.get("STINS_FOLDER"),
    path_provider=names,
)
RE = RunEngine(StoredMetadata(session.folder / "metadata.json"))
names.follow(RE)
