"""Names of files: below the root, and such that a catalogue can read them back."""

from pathlib import Path, PurePath

import pytest

from stins import StinsError
from stins_ophyd import PathInfo, StaticPathProvider
from stins_ophyd.paths import relative_name

ROOTS = ("/data", "/scratch/fast")


@pytest.mark.parametrize(
    ("folder", "filename", "expected"),
    [
        ("", "scan_1", "scan_1.nxs"),
        ("2026/week-1", "scan_1.h5", "2026/week-1/scan_1.h5"),
        ("/data/sim", "a", "sim/a.nxs"),
        ("/data", "a", "a.nxs"),
        ("/scratch/fast/2026", "a", "fast:2026/a.nxs"),
        ("/scratch/fast", "a", "fast:a.nxs"),
    ],
)
def test_a_path_becomes_relative_to_its_root(folder: str, filename: str, expected: str) -> None:
    assert relative_name(PathInfo(PurePath(folder), filename), ROOTS) == expected


@pytest.mark.parametrize("filename", ["a b", "a#b", "a%20b", "ä", "a/b", "../b", "", ".hidden", "a?b"])
def test_a_name_that_a_catalogue_cannot_read_is_refused(filename: str) -> None:
    with pytest.raises(StinsError, match=r"path provider: got .*, expected letters, digits and"):
        relative_name(PathInfo(PurePath(), filename), ROOTS)


@pytest.mark.parametrize("folder", ["..", "a/../..", "a b"])
def test_a_folder_that_leaves_the_root_is_refused(folder: str) -> None:
    with pytest.raises(StinsError, match="path provider"):
        relative_name(PathInfo(PurePath(folder), "a"), ROOTS)


def test_another_absolute_folder_is_refused() -> None:
    with pytest.raises(
        StinsError, match="got folder /other, expected one below the recorder's roots: /data, /scratch/fast"
    ):
        relative_name(PathInfo(Path("/other"), "a"), ROOTS)


def test_each_call_of_the_default_provider_names_another_file() -> None:
    provider = StaticPathProvider(directory_path="2026")
    first, second = provider("det_image"), provider("det_image")
    assert first.directory_path == PurePath("2026")
    assert first.filename.startswith("det_image-")
    assert first.filename != second.filename
