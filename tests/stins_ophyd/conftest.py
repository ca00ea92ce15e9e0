"""The tests of the controller and its faces."""

import gc

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.stins_ophyd.fixtures")


@pytest.fixture(scope="session", autouse=True)
def frozen() -> None:
    """What these imports brought lasts as long as the tests: each test's leak check need not walk it again (0.1 s)."""
    gc.collect()
    gc.freeze()
