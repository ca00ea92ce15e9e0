"""Recorders for tests: one process for all tests that leave it as it was, others as a test needs them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recorder_kit import Chain, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A recorder without sockets."""
    root = tmp_path / "data"
    root.mkdir()
    return Desk(root)


@pytest.fixture(scope="session")
def _shared_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    chain = Chain(tmp_path_factory.mktemp("recorder"), order={"gap_timeout_s": 0.3})
    yield chain
    assert chain.close() == 0, chain.recorder.log


@pytest.fixture
def chain(_shared_chain: Chain) -> Iterator[Chain]:
    """A running recorder that many tests share; a test leaves it alive."""
    yield _shared_chain
    _shared_chain.settle()


@pytest.fixture
def start_chain(tmp_path: Path) -> Iterator[Callable[..., Chain]]:
    """Starts a recorder of the test's own; it is ended with the test."""
    chains: list[Chain] = []

    def start(**config: Any) -> Chain:
        chain = Chain(tmp_path / f"recorder{len(chains)}", **config)
        chains.append(chain)
        return chain

    yield start
    for chain in chains:
        chain.close()
