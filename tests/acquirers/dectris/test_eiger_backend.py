"""The backend keeps what every backend has to keep, on each kind of detector and in both versions of the stream."""

from collections.abc import Callable
from typing import Any

import pytest
from stins_acquirers.backend import Backend
from stins_acquirers.conformance import BackendConformance
from stins_acquirers.dectris import EigerBackend


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stream_version": "v1", "compression": "lz4"},
        {"compression": "none", "header_detail": "basic", "period_s": 0.004},
        {"threshold_2_enabled": True, "compression": "lz4"},
        {"command_mode": "inte"},
    ],
    ids=["stream v2", "stream v1", "uncompressed", "two channels", "a command for each frame"],
)
class TestEiger(BackendConformance):
    bad_setting = {"exposure_s": -1}
    trigger_modes = ("internal", "software", "external")

    @pytest.fixture
    def backend(self, make: Callable[..., EigerBackend], changes: dict[str, Any]) -> Backend:
        return make(**{"threshold_2_enabled": False, **changes})
