"""The detector among Bluesky's other tools: catalogues, the queue server, notebooks.

Only these tests open a catalogue in their own process: its imports take each worker seconds.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bluesky import RunEngine

if TYPE_CHECKING:
    from stins_ophyd.catalog import RunWriter


def pytest_configure(config: pytest.Config) -> None:
    """The chain and the RunEngine are those of the device's tests."""
    config.pluginmanager.import_plugin("tests.stins_ophyd.fixtures")


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where documents wait for the catalogue."""
    return tmp_path / "unsent"


@pytest.fixture
def recording(engine: RunEngine, catalog: Any, spool: Path) -> Iterator["RunWriter"]:
    """While it lives, runs are kept in the module's catalogue."""
    from stins_ophyd import record_runs

    writer = record_runs(engine, catalog, spool)
    yield writer
    assert writer.stop()
    assert list(spool.iterdir()) == []
