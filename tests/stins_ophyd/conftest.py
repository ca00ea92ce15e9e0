"""The tests of the controller and its faces."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.stins_ophyd.fixtures")
