"""The package's public names."""

import subprocess
import sys

import pytest

import stins_ophyd


def test_every_public_name_is_there():
    assert all(hasattr(stins_ophyd, name) for name in stins_ophyd.__all__)
    assert dir(stins_ophyd) == sorted(stins_ophyd.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'StinsDetektor'"):
        stins_ophyd.StinsDetektor  # noqa: B018


def test_importing_it_loads_neither_ophyd_nor_a_catalogue():
    code = "import sys, stins_ophyd; stins_ophyd.Controller; print({'ophyd', 'bluesky', 'tiled'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
