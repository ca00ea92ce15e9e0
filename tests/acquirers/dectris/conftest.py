"""The simulated detector that the tests of the backend share, and the backend on it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stins_acquirers.dectris import EigerBackend, EigerSettings

from tests.acquirers.simulate_kit import RunningEiger, running_eiger

#: Deadlines that a busy machine keeps; a test of what happens at one of them sets a shorter one, and then this again.
PATIENT: dict[str, Any] = {"end_timeout_s": 5.0, "answer_timeout_s": 5.0}
#: Frames that come at once.
FAST: dict[str, Any] = {"exposure_s": 0.002, "lost_timeout_s": 1.0, **PATIENT}


def settings_for(eiger: RunningEiger, **settings: Any) -> EigerSettings:
    """The settings that lead to this simulator."""
    version = settings.get("stream_version", "v2")
    stream = {"stream_port": eiger.v2_port if version == "v2" else eiger.v1_port}
    return EigerSettings(host="127.0.0.1", http_port=eiger.port, **{**FAST, **stream, **settings})


@pytest.fixture(scope="module")
def shared_eiger2() -> Iterator[RunningEiger]:
    """An EIGER2 for all tests of a module."""
    with running_eiger(model="eiger2-1m") as eiger:
        yield eiger


@pytest.fixture
def eiger2(shared_eiger2: RunningEiger) -> Iterator[RunningEiger]:
    """The same; idle, well and with its first settings again behind the test, however that ended."""
    yield shared_eiger2
    shared_eiger2.clear_faults()
    shared_eiger2.command("initialize")


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
