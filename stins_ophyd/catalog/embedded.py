"""A catalogue in this process, without a server or a port. Other processes may open it at the same time."""

import asyncio
import os
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from .tiled import tiled

__all__ = ["open_catalog"]

_CREATE_S = 60.0
#: Of all catalogues here: Tiled has one set of settings, and a second key would lock out the first catalogue.
_KEY = secrets.token_hex(16)


def open_catalog(folder: Path | str, readable: Iterable[Path | str] = ()) -> Any:
    """Opens the catalogue in `folder`, creating it if need be; returns Tiled's client for it.

    `catalog[uid]`, `catalog[-1]` and `catalog[scan_id]` are runs. Only frames in files below the folders `readable`
    can be read.
    """
    folder = Path(folder).resolve()
    parts = tiled()
    tree = parts.catalog_from_uri(
        f"sqlite:///{_database(folder)}",
        specs=[{"name": "CatalogOfBlueskyRuns", "version": "3.0"}],
        writable_storage=[str(folder / "data"), tables(folder)],
        readable_storage=[str(Path(path).resolve()) for path in readable],
    )
    app = parts.build_app(tree, authentication=parts.authentication(single_user_api_key=_KEY))
    return parts.runs(parts.from_context(parts.context.from_app(app, api_key=_KEY)))


def tables(folder: Path) -> str:
    """Where the numbers of the events are kept.

    In SQLite: a file of DuckDB admits one process. A catalogue from before that keeps its own.
    """
    old = folder / "storage.duckdb"
    return f"duckdb:///{old}" if old.exists() else f"sqlite:///{folder / 'storage.db'}"


def _database(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    database = folder / "catalog.db"
    if not database.exists():
        _create(database)
    return database


def _create(database: Path) -> None:
    """Makes the catalogue's tables. Tiled's own way starts an interpreter more: 8 s instead of 0.3."""
    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.alembic_utils import stamp_head
    from tiled.catalog.alembic_constants import ALEMBIC_DIR, ALEMBIC_INI_TEMPLATE_PATH
    from tiled.catalog.core import initialize_database

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
