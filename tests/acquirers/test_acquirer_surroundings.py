"""What the configuration says of beamline and geometry, beside what the detector says itself."""

import re
from pathlib import Path

import pytest
import yaml
from stins_acquirers.config import AcquirerConfig
from stins_acquirers.surroundings import BeamlineConfig, GeometryConfig, Surroundings

from stins import UNSET, Acquisition, Axis, Beamline, SeriesHeader
from stins.daemon import ConfigError, load_config

OMEGA = Axis(name="omega", start=1.0, increment=0.1)
AROUND = Surroundings.configured(
    BeamlineConfig(name="BioMAX", sample_name="lysozyme", beam_size=(1e-5, 2e-5)),
    GeometryConfig(distance=0.2, beam_center_x=4.5, axis_vectors={"omega": (-1, 0, 0), "phi": (0, 1, 0)}),
)


def test_what_the_detector_leaves_open_is_filled_in() -> None:
    header = AROUND.complete(SeriesHeader(acquisition=Acquisition(count_time=0.1, goniometer=(OMEGA,))), {})
    omega = Axis(name="omega", start=1.0, increment=0.1, vector=(-1.0, 0.0, 0.0))
    assert header.acquisition == Acquisition(count_time=0.1, distance=0.2, beam_center_x=4.5, goniometer=(omega,))
    assert header.beamline == Beamline(name="BioMAX", sample_name="lysozyme", beam_size=(1e-5, 2e-5))


def test_what_the_detector_says_goes_first() -> None:
    omega = Axis(name="omega", start=0.0, vector=(0.0, 0.0, 1.0))
    said = SeriesHeader(
        acquisition=Acquisition(distance=0.3, goniometer=(omega,)), beamline=Beamline(sample_name="insulin")
    )
    header = AROUND.complete(said, {})
    assert (header.acquisition.distance, header.acquisition.goniometer) == (0.3, (omega,))
    assert (header.beamline.name, header.beamline.sample_name) == ("BioMAX", "insulin")


def test_a_series_brings_the_name_of_its_sample() -> None:
    assert AROUND.complete(SeriesHeader(), {"sample_name": "insulin"}).beamline.sample_name == "insulin"
    assert AROUND.complete(SeriesHeader(), {"sample_name": 5}).beamline.sample_name == "lysozyme"


def test_nothing_around_changes_nothing() -> None:
    for header in (SeriesHeader(), SeriesHeader(acquisition=Acquisition(count_time=0.1))):
        assert Surroundings().complete(header, {}) == header
    assert Surroundings().complete(SeriesHeader(), {}).beamline is UNSET


def test_a_distance_of_0_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "acquirer.yaml"
    path.write_text("backend: simulated\ngeometry: {distance: 0}\n")
    with pytest.raises(ConfigError, match=r"geometry\.distance"):
        load_config(path, AcquirerConfig)


def test_the_example_of_the_file_reference_is_a_configuration() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "file.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    config = AcquirerConfig.model_validate(yaml.safe_load(example)["acquirer"])
    around = Surroundings.configured(config.beamline, config.geometry)
    assert (around.beamline.name, around.geometry.distance, around.vectors["omega"]) == ("BioMAX", 0.2, (-1, 0, 0))
