"""The catalogue of runs: Tiled in this process, without a server or a port. Its imports take seconds, so they wait."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bluesky import RunEngine

from stins import StinsError

__all__ = ["RunWriter", "open_catalog", "record_runs"]

log = logging.getLogger(__name__)

#: Events are written as they come, at the latest at the end of the run: a write takes the time of several points.
_BATCH = 10_000
_CREATE_S = 60.0


def open_catalog(folder: Path | str, readable: Iterable[Path | str] = ()) -> Any:
    """Opens the catalogue in `folder`, creating it if need be; returns Tiled's client for it.

    `catalog[uid]`, `catalog[-1]` and `catalog[scan_id]` are runs. Only frames in files below the folders `readable`
    can be read.
    """
    folder = Path(folder).resolve()
    tiled = _Tiled()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    database = folder / "catalog.db"
    if not database.exists():
        _create(database)
    tree = tiled.catalog_from_uri(
        f"sqlite:///{database}",
        specs=[{"name": "CatalogOfBlueskyRuns", "version": "3.0"}],
        writable_storage=[str(folder / "data"), f"duckdb:///{folder / 'storage.duckdb'}"],
        readable_storage=[str(Path(path).resolve()) for path in readable],
    )
    key = secrets.token_hex(16)
    app = tiled.build_app(tree, authentication=tiled.authentication(single_user_api_key=key))
    return tiled.from_context(tiled.context.from_app(app, api_key=key))


def _create(database: Path) -> None:
    """Makes the catalogue's tables. Tiled's own way starts an interpreter more: 8 s instead of 0.3."""
    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.alembic_utils import stamp_head
    from tiled.catalog.alembic_constants import ALEMBIC_DIR, ALEMBIC_INI_TEMPLATE_PATH
    from tiled.catalog.core import initialize_database

    new = database.with_suffix(".new")
    new.unlink(missing_ok=True)
    url = f"sqlite+aiosqlite:///{new}"

    async def make_tables() -> None:
        engine = create_async_engine(url)
        try:
            await initialize_database(engine)
        finally:
            await engine.dispose()

    # A thread, because a notebook's own event loop runs in this one.
    with ThreadPoolExecutor(1, "catalogue") as pool:
        pool.submit(asyncio.run, make_tables()).result(_CREATE_S)
    stamp_head(ALEMBIC_INI_TEMPLATE_PATH, ALEMBIC_DIR, url)
    new.rename(database)  # whole, or not there


def record_runs(engine: RunEngine, catalog: Any, backup_directory: Path | str) -> "RunWriter":
    """Writes every run of the RunEngine to the catalogue; `stop` of what is returned ends that.

    A catalogue that fails does not fail the run: the run's documents are then kept in `backup_directory`.
    """
    tiled = _Tiled()
    backup = Path(backup_directory)
    backup.mkdir(parents=True, exist_ok=True)
    writer = RunWriter(tiled.writer(catalog, backup_directory=str(backup), batch_size=_BATCH), backup)
    token = engine.subscribe(writer)
    writer.stop = lambda: engine.unsubscribe(token)
    return writer


class RunWriter:
    """Hands documents to a catalogue and keeps its failures from the run. Each failing run is logged once."""

    def __init__(self, write: Callable[[str, dict[str, Any]], object], backup: Path) -> None:
        self._write = write
        self._backup = backup
        self._complained = False
        self.stop: Callable[[], None] = lambda: None

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Takes one document."""
        if name == "start":
            self._complained = False
        try:
            self._write(name, doc)
        except Exception:  # whatever a catalogue fails with, the data are more important
            if not self._complained:
                log.exception("the catalogue failed; documents of this run: see %s", self._backup)
            self._complained = True


class _Tiled:
    """The parts of Tiled that are needed, imported when they are."""

    def __init__(self) -> None:
        try:
            from bluesky_tiled_plugins import TiledWriter
            from bluesky_tiled_plugins.exporters import json_seq_exporter
            from tiled.catalog import from_uri
            from tiled.client import from_context
            from tiled.client.context import Context
            from tiled.config import Authentication
            from tiled.media_type_registration import default_serialization_registry
            from tiled.server.app import build_app
        except ImportError as error:
            raise StinsError(
                f"the catalogue needs {error.name}; install it: pip install 'stins-ophyd[tiled]'"
            ) from error
        # Without it, run.documents() is refused by the server.
        default_serialization_registry.register("BlueskyRun", "application/json-seq", json_seq_exporter)
        self.writer = TiledWriter
        self.catalog_from_uri, self.from_context = from_uri, from_context
        self.context, self.authentication = Context, Authentication
        self.build_app = build_app
