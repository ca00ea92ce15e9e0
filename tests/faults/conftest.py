"""The shim, built once, and a recorder whose system calls can be made to fail while it runs."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shim import build_shim, compiler

# The recorder's kit belongs to its own tests.
sys.path.insert(0, str(Path(__file__).parent.parent / "recorder"))
from faulty_chain import FaultyChain


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared object to preload."""
    if compiler() is None:
        pytest.skip("no C compiler here: faults in system calls cannot be made")
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def _chain(shim: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyChain]:
    chain = FaultyChain(tmp_path_factory.mktemp("faulty"), shim)
    yield chain
    chain.page.disarm()
    assert chain.close() == 0, chain.recorder.log
    assert not chain.crashes, chain.recorder.log


@pytest.fixture
def faulty(_chain: FaultyChain) -> Iterator[FaultyChain]:
    """A running recorder that the tests of a module share, with nothing armed at a test's begin and end."""
    yield _chain
    _chain.page.disarm()
    _chain.settle()
