"""The catalogue of runs, in this process. Needs session and RE."""

from stins_ophyd import open_catalog, record_runs

catalog = open_catalog(session.folder / "catalogue", readable=[session.data])
record_runs(RE, catalog, session.folder / "unsent-documents")
