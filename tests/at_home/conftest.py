"""The detector among Bluesky's other tools: catalogues, the queue server, notebooks.

Only these tests open a catalogue in their own process: its imports take each worker seconds.
"""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The chain and the RunEngine are those of the device's tests."""
    config.pluginmanager.import_plugin("tests.stins_ophyd.fixtures")
