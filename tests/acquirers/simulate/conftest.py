"""What the tests of the simulators share."""

from collections.abc import Iterator

import pytest
from simulate_kit import RunningEiger, running_eiger


@pytest.fixture(scope="module")
def eiger() -> Iterator[RunningEiger]:
    """An initialized EIGER2 of 64 x 48 pixels; each test sets what it needs, and leaves it idle."""
    with running_eiger() as running:
        running.command("initialize")
        yield running
