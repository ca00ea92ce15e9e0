"""No file name leads out of its root, or onto something that stands."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stins_recorder.errors import PathError
from stins_recorder.paths import resolve

SOUP = ["data", "inside", "out", "up", "circle", "file.h5", "dangling.h5", "new.h5", "..", ".", "", ".hidden", "a b",
        "\n", "\0", "~", "é", "x" * 300, "*", "-x", "C:", "data:", "other:", "data:new.h5"]  # fmt: skip


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    """A root with a folder, a file, and symbolic links inside, outside, to nothing and to themselves."""
    root, outside = tmp_path / "data", tmp_path / "outside"
    (root / "inside").mkdir(parents=True)
    (outside / "sub").mkdir(parents=True)
    (root / "file.h5").write_text("precious")
    (root / "link_inside").symlink_to(root / "inside")
    (root / "out").symlink_to(outside)
    (root / "up").symlink_to("..")
    (root / "circle").symlink_to("circle")
    (root / "dangling.h5").symlink_to(outside / "new.h5")
    return root


def tree(root: Path) -> set[str]:
    return {str(path) for path in root.parent.rglob("*")}


@given(names=st.lists(st.sampled_from(SOUP) | st.text(max_size=8), max_size=5), absolute=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_whatever_the_name_a_path_is_new_and_below_its_root_or_refused(
    farm: Path, names: list[str], absolute: bool
) -> None:
    before = tree(farm)
    try:
        path = resolve([farm], "/" * absolute + "/".join(names))
    except PathError:
        pass
    else:
        assert path.parent.resolve().is_relative_to(farm)
        assert not os.path.lexists(path)
        assert path.name.isprintable()
    assert tree(farm) == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/new.h5", "absolute"),
        ("../outside/new.h5", "'..'"),
        ("inside/../new.h5", "'..'"),
        ("out/new.h5", "leads out of the root"),
        ("up/outside/new.h5", "leads out of the root"),
        ("circle/new.h5", "ymlink|symbolic"),
        ("file.h5", "stands already"),
        ("dangling.h5", "stands already"),
        ("inside", "stands already"),
        ("file.h5/new.h5", "no folder"),
        (".hidden.h5", "refused"),
        ("inside/.hidden/new.h5", "refused"),
        ("new\n.h5", "refused"),
        ("new\0.h5", "refused"),
        ("new file.h5", "refused"),
        ("x" * 300, "refused"),
        ("/".join(["deep"] * 300), "1000 at most"),
        ("", "expected a name"),
        ("elsewhere:new.h5", "no root is called 'elsewhere'; there are: data"),
        ("data:/etc/new.h5", "absolute"),
    ],
)
def test_a_bad_name_is_refused_by_name(farm: Path, name: str, why: str) -> None:
    with pytest.raises(PathError, match=why) as refusal:
        resolve([farm], name)
    assert repr(name)[:40] in str(refusal.value)


def test_a_name_goes_below_the_first_root_and_a_prefix_chooses_another(tmp_path: Path) -> None:
    roots = [tmp_path / "fast", tmp_path / "slow"]
    for root in roots:
        root.mkdir()
    assert resolve(roots, "2026/a.h5") == tmp_path / "fast/2026/a.h5"
    assert resolve(roots, "slow:a.h5") == tmp_path / "slow/a.h5"
    assert resolve(roots, "fast:x/y/a.h5") == tmp_path / "fast/x/y/a.h5"


def test_a_link_that_stays_inside_the_root_may_be_used(farm: Path) -> None:
    assert resolve([farm], "link_inside/new.h5") == farm / "link_inside/new.h5"


def test_a_root_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"the root .* is gone"):
        resolve([tmp_path / "unmounted"], "new.h5")
    assert not (tmp_path / "unmounted").exists()
