"""The backend keeps what every backend has to keep."""

from collections.abc import Callable
from typing import ClassVar

import pytest
from stins_acquirers.conformance import BackendConformance
from stins_acquirers.dectris.pilatus import PilatusBackend
from stins_acquirers.simulate.camserver import Simulator


class TestPilatusConformance(BackendConformance):
    trigger_modes = ("internal", "software", "external")
    bad_setting: ClassVar = {"exposure_s": 0}

    @pytest.fixture
    def backend(self, make: Callable[..., PilatusBackend], camserver: Simulator) -> PilatusBackend:
        return make(camserver)


class TestUnpackedConformance(TestPilatusConformance):
    @pytest.fixture
    def backend(self, make: Callable[..., PilatusBackend], camserver: Simulator) -> PilatusBackend:
        return make(camserver, compression="bslz4")


class TestPilatus2Conformance(TestPilatusConformance):
    @pytest.fixture
    def backend(self, make: Callable[..., PilatusBackend], simulate: Callable[..., Simulator]) -> PilatusBackend:
        return make(simulate(model="pilatus2-300k"), compression="none")
