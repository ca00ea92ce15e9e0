"""The recorder's configuration file."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from stins_recorder.config import OrderConfig, RecorderConfig

from stins.daemon import ConfigError, check_config, load_config
from stins.daemon.descriptions import descriptions

EXAMPLE = Path(__file__).parents[2] / "recorder" / "recorder.yaml"
README = EXAMPLE.with_name("README.md")


def test_the_example_is_valid() -> None:
    config = load_config(EXAMPLE, RecorderConfig)
    assert config.roots == [Path("data").resolve()]
    assert config.sources == ["tcp://127.0.0.1:9999"]


def test_the_writer_is_told_the_same_by_the_same_names() -> None:
    config = RecorderConfig(roots=["data", "more"], sources=["x"])
    told, said = msgspec.structs.asdict(config.for_writer()), config.model_dump(mode="json")
    assert json.loads(msgspec.json.encode(told)) == {name: said[name] for name in told}


@pytest.mark.parametrize("model", [RecorderConfig, OrderConfig])
def test_every_field_is_described_here_and_in_the_readme(model: type[RecorderConfig]) -> None:
    text = README.read_text()
    texts = descriptions(model)
    for name in model.model_fields:
        assert texts[name], name
        assert f"`{name}`" in text or f".{name}`" in text, f"recorder/README.md does not describe {name}"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({}, "roots: missing"),
        ({"roots": [], "sources": ["x"]}, r"roots: got \[\]: .*at least 1 item"),
        ({"roots": ["d"], "sources": ["x"], "rots": 1}, "rots: unknown field; allowed: acks, .*roots"),
        (
            {"roots": ["d"], "sources": ["x"], "order": {"windw": 1}},
            "order.windw: unknown field; allowed: gap_timeout_s",
        ),
        *(
            ({"roots": ["good", f"/d/{name}"], "sources": ["x"]}, f"roots: .*'/d/{re.escape(name)}' could not be read")
            for name in ("a b", "a#b", "a?b", "100%", "größe")
        ),
        ({"roots": ["/a/data", "/b/data"], "sources": ["x"]}, "roots: .*two roots are called 'data'"),
        (
            {"roots": ["d"], "sources": ["x"], "acks": ["y", "z"]},
            "acks: got 2 endpoints, expected one for each of 1 sou",
        ),
        ({"roots": ["d"], "sources": ["x"], "sender_gone_s": -1}, "sender_gone_s: got -1: .*greater than 0"),
    ],
)
def test_a_wrong_config_names_the_field_and_what_is_allowed(content: dict[str, object], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        check_config(content, RecorderConfig, "r.yaml")


def test_roots_are_absolute_and_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "day1").mkdir()
    (tmp_path / "today").symlink_to("day1")
    monkeypatch.chdir(tmp_path)
    config = RecorderConfig(roots=["today", "new"], sources=["x"])
    assert config.roots == [tmp_path / "day1", tmp_path / "new"]
    assert check_config(config.model_dump(mode="json"), RecorderConfig, "r.yaml") == config
