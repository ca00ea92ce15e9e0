"""Energy and threshold: which command sets them, and that nobody waits for it."""

import logging
import time
from collections.abc import Callable

import pytest
from stins_acquirers.backend import BackendError
from stins_acquirers.conformance import arm_request
from stins_acquirers.dectris.pilatus import PilatusBackend
from stins_acquirers.dectris.pilatus.energies import Energies, told, trimming
from stins_acquirers.simulate.camserver import Fault, Simulator

DEADLINE_S = 30.0

Make = Callable[..., PilatusBackend]

COMMANDS = {
    "nothing is wanted": (Energies(), Energies(12_000, 6_000, "midG"), None),
    "it is so already": (Energies(12_000, 6_000), Energies(12_000, 6_000.4), None),
    "energy": (Energies(12_000), Energies(8_000, 4_000), "setenergy 12000"),
    "energy, nothing known": (Energies(12_000), Energies(), "setenergy 12000"),
    "threshold": (Energies(None, 7_000), Energies(12_000, 6_000), "setthreshold energy 12000 7000"),
    "threshold, nothing known": (Energies(None, 7_000), Energies(), "setthreshold 7000"),
    "both": (Energies(12_000, 7_000), Energies(8_000, 4_000), "setthreshold energy 12000 7000"),
    "gain": (Energies(None, None, "highG"), Energies(12_000, 6_000), "setthreshold energy 12000 highG 6000"),
    "energy and gain": (Energies(12_000, None, "lowG"), Energies(8_000, 5_000), "setthreshold energy 12000 lowG 6000"),
}


@pytest.mark.parametrize(("wanted", "known", "command"), COMMANDS.values(), ids=COMMANDS)
def test_one_command_brings_about_what_is_wanted(wanted: Energies, known: Energies, command: str | None) -> None:
    assert trimming(wanted, known) == command


def test_what_camserver_says_is_understood() -> None:
    settings = "Settings: ultra high gain; threshold: 6300 eV; vcmp: 0.654 V\n Trim file:\n /a.bin"
    assert told("Energy setting: 12658 eV", settings) == Energies(12_658, 6_300, "uhighG")
    assert told("Threshold has not been set", "") == Energies()


def refusals(backend: PilatusBackend) -> list[str]:
    """What is said to somebody who tries to arm until it works."""
    said: list[str] = []
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            backend.arm(arm_request())
        except BackendError as error:
            said.append(str(error))
        else:
            return said
    return pytest.fail(f"not armed within {DEADLINE_S:g} s: {said[-1]}")


def test_energies_are_set_at_once_and_read_back(make: Make, camserver: Simulator) -> None:
    backend = make(camserver)
    assert backend.settings.incident_energy is None
    backend.configure({"incident_energy": 12_000})
    assert (backend.settings.incident_energy, backend.settings.threshold_energy) == (12_000, 6_000)
    backend.configure({"threshold_energy": 7_500})
    assert (backend.settings.incident_energy, backend.settings.threshold_energy) == (12_000, 7_500)


def test_nobody_waits_for_a_threshold(simulate: Callable[..., Simulator], make: Make) -> None:
    backend = make(simulate(threshold_s=600.0), answer_timeout_s=1.0)
    backend.configure({"threshold_energy": 7_000})
    assert backend.settings.threshold_energy == 7_000
    with pytest.raises(BackendError, match=r"'setthreshold 7000' has been under way for .* try again when it is done"):
        backend.arm(arm_request())


def test_once_the_threshold_is_set_it_can_be_armed(simulate: Callable[..., Simulator], make: Make) -> None:
    backend = make(simulate(threshold_s=0.5), answer_timeout_s=0.1)
    backend.configure({"threshold_energy": 7_000})
    refusals(backend)
    assert (backend.settings.incident_energy, backend.settings.threshold_energy) == (14_000, 7_000)


def test_a_threshold_that_takes_for_ever_is_a_fault_and_the_next_one_works(make: Make, camserver: Simulator) -> None:
    backend = make(camserver, answer_timeout_s=0.1, threshold_timeout_s=0.3)
    camserver.add_fault(Fault(kind="silence", command="setthreshold", times=1))
    backend.configure({"threshold_energy": 7_000})
    said = refusals(backend)
    assert any(
        "'setthreshold 7000': no answer within 0.3 s; look at its window, or restart it" in each for each in said
    )
    assert backend.settings.threshold_energy == 7_000


def test_a_refused_energy_changes_nothing(make: Make, camserver: Simulator) -> None:
    backend = make(camserver, incident_energy=12_000)
    backend.arm(arm_request())
    before = backend.settings
    with pytest.raises(BackendError, match=r"configure: 'setenergy 90000': got '15 ERR Energy: out of range"):
        backend.configure({"incident_energy": 90_000})
    assert backend.settings == before


def test_energies_of_the_configuration_file_are_set_when_it_is_armed(make: Make, camserver: Simulator) -> None:
    backend = make(camserver, incident_energy=11_000, threshold_energy=6_000)
    acquisition = backend.arm(arm_request()).header.acquisition
    assert acquisition is not None
    assert (acquisition.incident_energy, acquisition.threshold_energy) == (11_000, (6_000,))


def test_what_the_detector_does_otherwise_is_said_and_not_asked_for_again(
    make: Make, camserver: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []
    with caplog.at_level(logging.INFO, "stins_acquirers"):
        backend = make(camserver, threshold_energy=1_000)
        for _ in range(2):
            backend.arm(arm_request())
            backend.abort()
            asked.append(caplog.text.count(": setthreshold 1000, which may take"))
    assert (backend.settings.threshold_energy, asked) == (1_750, [1, 1])
