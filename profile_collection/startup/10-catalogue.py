"""The catalogue of runs, in this process; everything stands below ~/stins, or $STINS_FOLDER."""

import os
from pathlib import Path

from stins_ophyd import open_catalog, record_runs

folder = Path(os.environ.get("STINS_FOLDER", Path.home() / "stins"))
catalog = open_catalog(folder / "catalogue", readable=[folder / "data"])
record_runs(RE, catalog, folder / "unsent-documents")
