"""The RunEngine, with a table and a progress bar; everything stands below ~/stins, or $STINS_FOLDER."""

import os
from pathlib import Path

from bluesky import RunEngine
from bluesky.callbacks.best_effort import BestEffortCallback
from bluesky.utils import ProgressBarManager

from stins_ophyd import StoredMetadata

folder = Path(os.environ.get("STINS_FOLDER", Path.home() / "stins"))
RE = RunEngine(StoredMetadata(folder / "metadata.json"))
bec = BestEffortCallback()
bec.disable_plots()
RE.subscribe(bec)
RE.waiting_hook = ProgressBarManager()
