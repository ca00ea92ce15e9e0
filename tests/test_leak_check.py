"""The leak check of every test leaves nothing behind itself."""

import os
from pathlib import Path

import pytest

from tests.conftest import own_socket


def test_what_is_no_socket_any_more_is_refused_and_no_copy_of_it_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("w") as file, pytest.raises(OSError, match="Socket operation on non-socket"):
        own_socket(file.fileno())
    assert not [each for each in Path("/proc/self/fd").iterdir() if os.path.lexists(each) and each.resolve() == path]
