"""Names of files: below the root, and such that a catalogue can read them back."""

from pathlib import Path, PurePath
from typing import Any

import bluesky.plans as bp
import pytest
from bluesky import RunEngine

from stins import StinsError
from stins_ophyd import PathInfo, StaticPathProvider, StinsDetector, TemplatePathProvider
from stins_ophyd.paths import PathProvider, relative_name
from tests.stins_ophyd.chain import Chain, Documents

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


def test_the_providers_of_ophyd_async_are_taken_as_they_are(tmp_path: Path) -> None:
    core = pytest.importorskip("ophyd_async.core")
    names = core.AutoIncrementFilenameProvider(base_filename="scan", max_digits=3)
    static: PathProvider = core.StaticPathProvider(names, tmp_path / "visit")
    daily: PathProvider = core.YMDPathProvider(core.UUIDFilenameProvider(), tmp_path)
    roots = (str(tmp_path),)
    assert [relative_name(static("det"), roots) for _ in range(2)] == ["visit/scan_000.nxs", "visit/scan_001.nxs"]
    assert relative_name(daily("det"), roots).startswith("det/20")


def test_none_brings_the_default_names_back(detector: StinsDetector) -> None:
    detector.path_provider = StaticPathProvider(lambda _: "taken")
    detector.path_provider = None
    assert relative_name(detector.path_provider("det_image"), ROOTS).startswith("det_image-")


@pytest.mark.parametrize("wrong", ["lysozyme_1", Path("lysozyme_1"), 7])
def test_what_is_no_path_provider_is_refused_when_it_is_set_and_changes_nothing(
    detector: StinsDetector, wrong: Any
) -> None:
    before = detector.path_provider
    with pytest.raises(TypeError, match=r"^det: path_provider: got .*, expected a path provider, such as"):
        detector.path_provider = wrong
    assert detector.path_provider is before


def test_a_fixed_name_is_refused_where_a_function_is_expected() -> None:
    with pytest.raises(TypeError, match="filename_provider: got 'lysozyme_1', expected a function"):
        StaticPathProvider("lysozyme_1")  # type: ignore[arg-type]  # that is what is refused


def test_what_gives_no_path_is_refused_by_what_it_gives(detector: StinsDetector) -> None:
    detector.path_provider = lambda _: "lysozyme_1"
    with pytest.raises(StinsError, match=r"^det: stage: path provider: got 'lysozyme_1', expected a PathInfo"):
        detector.stage()


def path(provider: TemplatePathProvider, datakey_name: str = "det_image") -> str:
    """Where it puts the file."""
    return relative_name(provider(datakey_name), ROOTS)


def test_a_template_is_filled_with_what_is_known() -> None:
    metadata = {"proposal": "p42", "sample": {"name": "lysozyme"}, "scan_id": 7}
    provider = TemplatePathProvider("{proposal}/{sample[name]}/{detector}_{scan_id:05d}_{uid:.8}", metadata)
    first, second = path(provider), path(provider)
    assert first.startswith("p42/lysozyme/det_00007_")
    assert len(first) == len("p42/lysozyme/det_00007_12345678.nxs")
    assert first != second


def test_a_date_is_written_as_it_is_asked_for() -> None:
    assert path(TemplatePathProvider("{date:%Y-%m}/{detector}")).endswith("/det.nxs")


TEMPLATES = [
    (
        "{proposal}/{uid}",
        {},
        "got no value for 'proposal', expected it in RE.md or in the plan's md; known: date",
    ),
    ("{sample}/x", {"sample": "lysozyme 1"}, "sample: got 'lysozyme 1', expected letters, digits"),
    ("{sample}/x", {"sample": "../x"}, r"sample: got '\.\./x', expected letters"),
    ("{sample}/x", {"sample": ""}, "sample: got '', expected letters"),
    ("{scan_id:05d}", {"scan_id": "seven"}, "{scan_id:05d}: Unknown format code 'd'"),
    ("{sample[name]}", {"sample": {}}, r"got no value for 'sample\[name\]'"),
]


@pytest.mark.parametrize(("template", "metadata", "text"), TEMPLATES)
def test_what_cannot_be_filled_is_refused_with_field_and_value(
    template: str, metadata: dict[str, Any], text: str
) -> None:
    with pytest.raises(StinsError, match=f"path template: {text}"):
        TemplatePathProvider(template, metadata)("det_image")


@pytest.mark.parametrize("template", ["a b/{uid}", "{uid}#", "{uid", "{uid}/{"])
def test_a_template_that_gives_no_readable_name_is_refused_at_once(template: str) -> None:
    with pytest.raises(StinsError, match="path template"):
        TemplatePathProvider(template)


def test_a_file_has_the_name_of_its_run(
    engine: RunEngine, detector: StinsDetector, documents: Documents, chain: Chain
) -> None:
    provider = TemplatePathProvider("{proposal}/{detector}_{scan_id}_{uid:.8}")
    detector.path_provider = provider
    forget = provider.follow(engine)
    engine(bp.count([detector]), proposal="p1")
    engine(bp.count([detector]), proposal="p2")
    forget()
    for start, resource in zip(documents.of("start"), documents.images, strict=True):
        name = f"{start['proposal']}/det_{start['scan_id']}_{start['uid'][:8]}.nxs"
        assert resource["uri"] == f"file://localhost{chain.root}/{name}"


def test_a_run_without_what_its_file_is_named_after_fails_by_name(
    engine: RunEngine, detector: StinsDetector, documents: Documents
) -> None:
    detector.path_provider = TemplatePathProvider("{no_such_field}/{uid}")
    with pytest.raises(
        Exception, match="det trigger failed: det: arm: path template: got no value for 'no_such_field'"
    ):
        engine(bp.count([detector]))
    assert "no value for 'no_such_field'" in documents.stop["reason"]
