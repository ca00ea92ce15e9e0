"""The catalogue of runs, in this process. Needs RE and folder of 00-engine.py."""

from stins_ophyd import open_catalog, record_runs

catalog = open_catalog(folder / "catalogue", readable=[folder / "data"])
record_runs(RE, catalog, folder / "unsent-documents")
