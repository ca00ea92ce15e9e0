"""Where the frames of an acquirer go, as its configuration says it."""

from typing import Any

import pytest
from stins_acquirers.config import StreamConfig

from stins.daemon import ConfigError, check_config


def stream(**content: Any) -> StreamConfig:
    return check_config(content, StreamConfig, "stream")


def test_one_recorder_has_the_endpoints_as_they_are_given() -> None:
    config = stream(endpoint="tcp://127.0.0.1:9999", acks="ipc:///run/acks")
    assert (config.endpoints, config.ack_endpoints) == (["tcp://127.0.0.1:9999"], ["ipc:///run/acks"])


def test_ports_are_counted_upwards_and_0_is_any_port() -> None:
    config = stream(recorders=3, endpoint="tcp://127.0.0.1:9000")
    assert config.endpoints == [f"tcp://127.0.0.1:{port}" for port in (9000, 9001, 9002)]
    assert config.ack_endpoints == ["tcp://127.0.0.1:0"] * 3


def test_without_acks_no_recorder_has_an_endpoint_for_them() -> None:
    assert stream(recorders=2, acks=None).ack_endpoints == [None, None]


def test_endpoints_may_be_listed() -> None:
    listed = ["ipc:///run/a", "ipc:///run/b"]
    assert stream(recorders=2, endpoint=listed).endpoints == listed


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"recorders": 3, "endpoint": ["tcp://127.0.0.1:0"]}, "endpoint: got 1 endpoints, expected 3"),
        ({"recorders": 2, "acks": "ipc:///run/acks"}, "acks: got 'ipc:///run/acks' for 2 recorders, expected a list"),
        ({"recorders": 0}, "recorders"),
    ],
)
def test_endpoints_that_are_too_few_are_refused_by_name(content: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error.replace("(", r"\(")):
        stream(**content)
