"""The RunEngine, and the session at the beamline of $STINS_BEAMLINE (default: beamline.yaml of this profile).

Everything stands in the folder in which that file has its data, or in $STINS_FOLDER.
"""

import os
from pathlib import Path

from bluesky import RunEngine

from stins_ophyd import StoredMetadata, open_session

session = open_session(
    os.environ.get("STINS_BEAMLINE") or Path(__file__).parent.parent / "beamline.yaml",
    os.environ.get("STINS_FOLDER"),
)
RE = RunEngine(StoredMetadata(session.folder / "metadata.json"))
