"""The conformance tests themselves: an honest backend passes, one that lies fails the test that is about its lie."""

import threading
from collections.abc import Sequence

import pytest
from stins_acquirers.backend import Backend, Frame, Opening, refuse_trigger_mode
from stins_acquirers.conformance import BackendConformance
from stins_acquirers.simulated import SimulatedBackend, SimulatedSettings

from stins.control import ArmRequest

SETTINGS = SimulatedSettings(shape=(8, 8), pool=2)


class SoftwareOnly(SimulatedBackend):
    """Has no internal trigger, as many a camera."""

    def arm(self, request: ArmRequest) -> Opening:
        refuse_trigger_mode(request.trigger_mode, ("software",))
        return super().arm(request)


class TestABackendWithSoftwareTriggersOnly(BackendConformance):
    trigger_modes = ("software",)
    bad_setting = {"exposure_s": -1}

    @pytest.fixture
    def backend(self) -> Backend:
        return SoftwareOnly(SETTINGS)


class OtherPixels(SimulatedBackend):
    """Its reference is another frame's."""

    def reference(self, frame_number: int) -> bytes:
        return super().reference(frame_number + 1)


class Dawdling(SimulatedBackend):
    """Disregards its time-out."""

    def read(self, timeout_s: float) -> Sequence[Frame]:
        threading.Event().wait(timeout_s + 0.2)
        return super().read(0)


class BeforeQuickly(SimulatedBackend):
    """Knows of losses, as backends did before `why_lost` had an argument."""

    def lost(self) -> tuple[tuple[int, int], ...]:
        return ()

    def why_lost(self) -> str:
        return ""


class Undecided(SimulatedBackend):
    """Does not say whether it can wait."""

    can_wait = "perhaps"  # type: ignore[assignment]  # the lie


def test_a_reference_that_is_not_what_was_sent_fails() -> None:
    with pytest.raises(AssertionError, match="frame 0"):
        BackendConformance().test_what_is_sent_is_the_reference(OtherPixels(SETTINGS))


def test_a_read_that_takes_too_long_fails() -> None:
    with pytest.raises(AssertionError):
        BackendConformance().test_reading_takes_no_longer_than_it_is_told(Dawdling(SETTINGS))


def test_a_backend_that_cannot_be_asked_for_its_losses_in_mid_series_fails() -> None:
    with pytest.raises(TypeError, match="quickly"):
        BackendConformance().test_of_a_series_without_a_loss_none_is_told_and_no_reason(BeforeQuickly(SETTINGS))


def test_a_backend_that_does_not_say_whether_it_can_wait_fails() -> None:
    with pytest.raises(AssertionError, match="can_wait: got 'perhaps', expected True or False"):
        BackendConformance().test_whether_it_can_wait_is_yes_or_no(Undecided(SETTINGS))


def test_tests_without_a_bad_setting_say_what_is_to_be_given() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"bad_setting: got \{\}, expected one name with its value"):
        BackendConformance().test_a_bad_value_is_refused_by_name_and_changes_nothing(SimulatedBackend(SETTINGS))
