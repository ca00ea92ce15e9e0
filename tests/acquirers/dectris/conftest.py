"""The simulated detector that the tests of the backend share, and the backend on it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stins_acquirers.dectris import EigerBackend, EigerSettings

from tests.acquirers.simulate_kit import RunningEiger, running_eiger

#: Frames that come at once, and deadlines that a test can wait for.
FAST: dict[str, Any] = {"exposure_s": 0.002, "end_timeout_s": 0.5, "lost_timeout_s": 1.0, "answer_timeout_s": 5.0}


def settings_for(eiger: RunningEiger, **settings: Any) -> EigerSettings:
    """The settings that lead to this simulator."""
    version = settings.get("stream_version", "v2")
    stream = {"stream_port": eiger.v2_port if version == "v2" else eiger.v1_port}
    return EigerSettings(host="127.0.0.1", http_port=eiger.port, **{**FAST, **stream, **settings})


@pytest.fixture(scope="module")
def eiger2() -> Iterator[RunningEiger]:
    """An EIGER2 for all tests of a module that leave it idle."""
    with running_eiger(model="eiger2-1m") as eiger:
        yield eiger


@pytest.fixture
def make(eiger2: RunningEiger) -> Iterator[Callable[..., EigerBackend]]:
    """Makes a backend: `make(exposure_s=0.01)` for the shared detector, `make(eiger, ...)` for another."""
    made: list[EigerBackend] = []

    def make(eiger: RunningEiger | None = None, **settings: Any) -> EigerBackend:
        made.append(EigerBackend(settings_for(eiger or eiger2, **settings)))
        return made[-1]

    yield make
    for backend in made:
        backend.close()
