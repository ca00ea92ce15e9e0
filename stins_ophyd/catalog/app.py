"""Tiled's server over a folder: what an embedded and a served catalogue have in common."""

import asyncio
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from bluesky_tiled_plugins.exporters import json_seq_exporter
from sqlalchemy.ext.asyncio import create_async_engine
from tiled.alembic_utils import stamp_head
from tiled.catalog import from_uri
from tiled.catalog.alembic_constants import ALEMBIC_DIR, ALEMBIC_INI_TEMPLATE_PATH
from tiled.catalog.core import initialize_database
from tiled.client import from_context
from tiled.client.context import Context
from tiled.config import Authentication
from tiled.media_type_registration import default_serialization_registry
from tiled.server.app import build_app

from stins import StinsError

from .adapter import SeriesAdapter
from .recipient import described
from .runs import RunsCatalog, as_runs

__all__ = ["catalogue_app", "client_of"]

# It greets whoever opens a catalogue with its version; what it warns of is still said.
logging.getLogger("tiled.server.app").setLevel(logging.WARNING)

_CREATE_S = 60.0

# Without it, run.documents() is refused by the server.
default_serialization_registry.register("BlueskyRun", "application/json-seq", json_seq_exporter)


def catalogue_app(folder: Path, readable: Iterable[Path], key: str) -> Any:
    """The web application of the catalogue in `folder`, which is created if need be.

    Raises:
        StinsError: the folder cannot be made.
    """
    _make(folder / "data")
    database = folder / "catalog.db"
    if not database.exists():
        _create(database)
    tree = from_uri(
        f"sqlite:///{database}",
        metadata=described(folder),
        specs=[{"name": "CatalogOfBlueskyRuns", "version": "3.0"}],
        writable_storage=[str(folder / "data"), _tables(folder)],
        readable_storage=[str(path.resolve()) for path in readable],
        adapters_by_mimetype={"application/x-hdf5": SeriesAdapter},
    )
    return build_app(tree, authentication=Authentication(single_user_api_key=key))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "give a folder that this user may write to"
        # Without the other ones: a path has one for each of its folders, and all say the same.
        raise StinsError(f"catalogue: its folder {folder} cannot be made: {error.strerror}; {remedy}") from None


def client_of(app: Any, key: str) -> RunsCatalog:
    """A client that needs no port."""
    return as_runs(from_context(Context.from_app(app, api_key=key)))


def _tables(folder: Path) -> str:
    """Where the numbers of the events are kept.

    In SQLite: a file of DuckDB admits one process. A catalogue from before that keeps its own.
    """
    old = folder / "storage.duckdb"
    return f"duckdb:///{old}" if old.exists() else f"sqlite:///{folder / 'storage.db'}"


def _create(database: Path) -> None:
    """Makes the catalogue's tables. Tiled's own way starts an interpreter more: 8 s instead of 0.3."""
    new = database.with_suffix(f".{os.getpid()}")
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
        pool.submit(stamp_head, ALEMBIC_INI_TEMPLATE_PATH, ALEMBIC_DIR, url).result(_CREATE_S)
    with suppress(FileExistsError):  # another process was faster
        os.link(new, database)  # whole, or not there
    new.unlink()
