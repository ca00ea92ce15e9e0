"""A facility's own backend, from its own package, is found by its entry point and keeps what all keep."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from stins_acquirers.backend import Backend, Ending, Frame, Opening, refuse_trigger_mode, with_changes
from stins_acquirers.conformance import BackendConformance
from stins_acquirers.registry import backend_class, installed, make_backend

from stins import Detector, Part, SeriesHeader, StinsError
from stins.control import ArmRequest, FrameDescription, TriggerRequest
from stins.daemon import ConfigError, Model

IMAGE = Part(name="image", shape=(2, 4), dtype="uint8")


class WebcamSettings(Model):
    """Settings of the webcam."""

    exposure_s: float = Field(default=0.01, gt=0, json_schema_extra={"unit": "s"})
    """Exposure time."""


class Webcam:
    """A third-party backend, as small as one can be."""

    Settings = WebcamSettings
    can_wait = False

    def __init__(self, settings: WebcamSettings) -> None:
        self.settings = settings
        self._to_come = self._next = 0
        self._expected: int | None = None
        self._armed_s = 0.0

    def describe(self) -> FrameDescription:
        return FrameDescription(shape=IMAGE.shape, dtype=IMAGE.dtype)

    def configure(self, changes: Mapping[str, Any]) -> None:
        self.settings = with_changes(self.settings, changes)

    def arm(self, request: ArmRequest) -> Opening:
        refuse_trigger_mode(request.trigger_mode, ["internal"])
        self._next, self._expected, self._armed_s = 0, request.frames_expected, time.monotonic()
        return Opening(header=SeriesHeader(detector=Detector(description="webcam"), data=(IMAGE,)))

    def trigger(self, _request: TriggerRequest) -> None:
        self._to_come = self._expected or 0

    def read(self, timeout_s: float) -> Sequence[Frame]:
        if not self._to_come:
            return ()
        self._to_come, number, self._next = self._to_come - 1, self._next, self._next + 1
        now = time.monotonic() - self._armed_s
        return [Frame(number=number, parts=(IMAGE,), payload=(bytes(8),), timestamp=now)]

    def triggered(self) -> bool:
        return self._to_come > 0

    def ending(self) -> Ending | None:
        return Ending() if self._expected and self._next >= self._expected else None

    def disarm(self) -> None:
        self._to_come = 0

    def close(self) -> None:
        self.disarm()


class TestWebcam(BackendConformance):
    trigger_modes = ("internal",)
    bad_setting = {"exposure_s": 0}

    @pytest.fixture
    def backend(self) -> Backend:
        return Webcam(WebcamSettings())


@pytest.fixture
def webcam_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip leaves behind of a package that has the webcam as entry point `webcam`."""
    info = tmp_path / "facility_webcam-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: facility-webcam\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stins.acquirers]\nwebcam = facility_webcam:Webcam\n")
    (tmp_path / "facility_webcam.py").write_text(f"from {__name__} import Webcam\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "facility_webcam", raising=False)


def test_the_projects_own_backends_are_installed() -> None:
    assert {"replay", "simulated"} <= set(installed())


@pytest.mark.usefixtures("webcam_package")
def test_a_backend_of_another_package_is_found_by_its_entry_point() -> None:
    assert "webcam" in installed()
    assert backend_class("webcam") is Webcam
    assert make_backend("webcam", {"exposure_s": 0.5}).settings == WebcamSettings(exposure_s=0.5)


def test_an_unknown_backend_is_refused_with_the_names_of_the_installed_ones() -> None:
    with pytest.raises(StinsError, match=r"no acquirer backend 'eigr'; installed: .*replay.*simulated"):
        make_backend("eigr", {})


@pytest.mark.usefixtures("webcam_package")
def test_a_backend_whose_sdk_is_absent_is_refused_with_the_cause_and_the_installed_ones(tmp_path: Path) -> None:
    (tmp_path / "facility_webcam.py").write_text("import webcam_sdk\n")
    problem = r"'webcam' \(facility_webcam:Webcam\) cannot be loaded: ModuleNotFoundError: .*'webcam_sdk'; installed: "
    with pytest.raises(StinsError, match=problem + ".*simulated"):
        make_backend("webcam", {})


def test_a_bad_setting_is_refused_with_its_name_its_value_and_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"settings:\n  compression: got 'zip': Input should be 'none' or 'bslz4'"):
        make_backend("simulated", {"compression": "zip"})
