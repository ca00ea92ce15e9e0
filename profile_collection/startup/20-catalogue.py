"""The catalogue of runs: in this process, or the served one whose address is $STINS_CATALOGUE. Needs session and RE."""

import os

from stins_ophyd import connect_catalog, open_catalog, record_runs

print("stins: the catalogue; importing Tiled takes longest of all ...", flush=True)
if address := os.environ.get("STINS_CATALOGUE"):  # its key: $TILED_API_KEY
    catalog = connect_catalog(address)
else:
    catalog = open_catalog(session.folder / "catalogue", readable=[session.data])
record_runs(RE, catalog, session.folder / "unsent-documents")
