"""Configuration errors that a person can act on."""

import socket
from pathlib import Path

import msgspec
import pytest
from pydantic import Field, create_model

from stins.daemon import ConfigError, HttpConfig, Model, StatusBoard, is_loopback, load_config
from stins.daemon.descriptions import descriptions
from stins.daemon.server import ControlServer


class Inner(Model):
    size: int = Field(default=1, ge=1)
    """A size."""


class Config(Model):
    name: str
    """A name."""
    inner: Inner = Inner()
    """More."""


def load(tmp_path: Path, text: str | bytes) -> Config:
    path = tmp_path / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path, Config)


def test_a_file_becomes_a_checked_value(tmp_path: Path) -> None:
    assert load(tmp_path, "name: a\ninner: {size: 3}") == Config(name="a", inner=Inner(size=3))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "name: missing, and it has no default"),
        ("name: a\nsiez: 1", "siez: unknown field; allowed: inner, name"),
        ("name: a\ninner: {siez: 1}", "inner.siez: unknown field; allowed: size"),
        ("name: a\ninner: {size: 0}", "inner.size: got 0: Input should be greater than or equal to 1"),
        ("name: a\ninner: {size: big}", "inner.size: got 'big': Input should be a valid integer"),
        ("name: [1]", r"name: got \[1\]: Input should be a valid string"),
        ("[1, 2]", r"\(the whole file\): got \[1, 2\]"),
        ("name: {", "c.yaml: not YAML"),
        (b"name: \xff", "c.yaml: not YAML: .*can't decode byte 0xff"),
    ],
)
def test_an_error_names_field_value_and_what_is_allowed(tmp_path: Path, text: str | bytes, error: str) -> None:
    with pytest.raises(ConfigError, match=error) as refusal:
        load(tmp_path, text)
    assert "c.yaml" in str(refusal.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing.yaml: cannot be read: No such file"):
        load_config(tmp_path / "nothing.yaml", Config)


def test_loopback_is_known() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "10.0.0.1", "example.org", "")] == [False] * 4  # noqa: S104  # nothing is bound


class Nothing(msgspec.Struct, frozen=True):
    """A status that says nothing."""


def server(config: HttpConfig) -> ControlServer:
    return ControlServer("test", config, StatusBoard(Nothing()), [])


def test_an_address_that_others_reach_needs_a_token() -> None:
    with pytest.raises(ConfigError, match=r"http.host: got '192.0.2.1', which others can reach; set http.token_file"):
        server(HttpConfig(host="192.0.2.1"))


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o644)
    with pytest.raises(ConfigError, match=f"http.token_file: {token} can be read by others; chmod 600 it") as refusal:
        server(HttpConfig(token_file=token))
    assert "secret" not in str(refusal.value)
    with pytest.raises(ConfigError, match=r"http.token_file: .*cannot be read: No such file"):
        server(HttpConfig(token_file=tmp_path / "none"))


def test_an_empty_token_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("\n")
    token.chmod(0o600)
    with pytest.raises(ConfigError, match=r"http.token_file: .*is empty"):
        server(HttpConfig(token_file=token))


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"http.port: cannot listen on 127.0.0.1:{port}: .*choose another, or 0"):
            server(HttpConfig(port=port))


class Base(Model):
    first: int = 1
    """What stands
    below it."""


class Derived(Base):
    second: int = Field(default=2, description="Said there.")
    """Not here."""
    third: int = 3


def test_a_field_is_described_by_the_text_below_it_also_in_the_class_that_it_comes_from() -> None:
    assert descriptions(Derived) == {"first": "What stands\nbelow it.", "second": "Said there."}


def test_a_class_whose_source_cannot_be_read_by_itself_has_what_its_fields_say_themselves() -> None:
    class Within(Base):
        second: int = Field(default=2, description="Said.")
        third: int = 3
        """Text
that begins in the first column."""

    assert descriptions(Within) == {"first": "What stands\nbelow it.", "second": "Said."}


def test_a_class_without_source_has_what_its_fields_say_themselves() -> None:
    made = create_model("Made", __base__=Base, second=(int, Field(default=2, description="Said.")), third=(int, 3))
    assert descriptions(made) == {"first": "What stands\nbelow it.", "second": "Said."}
