"""The file of a served catalogue."""

import re
from pathlib import Path

import pytest

from stins.daemon import ConfigError, load_config
from stins_ophyd.catalog.config import CatalogueConfig

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "how-to" / "read-data-back.md"


def test_that_of_the_how_to_loads(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "catalogue.yaml").write_text(text)
    config = load_config(tmp_path / "catalogue.yaml", CatalogueConfig)
    assert (config.folder, config.readable, config.http.port) == (Path("stins-catalogue"), [Path("stins-data")], 8000)


def test_a_file_without_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "catalogue.yaml").write_text("readable: []\n")
    with pytest.raises(ConfigError, match="folder: missing"):
        load_config(tmp_path / "catalogue.yaml", CatalogueConfig)
