"""What an error says."""

import pytest

from stins import RemoteError


@pytest.mark.parametrize(
    ("parts", "further"),
    [
        ({}, ""),
        ({"expected": "10 frames"}, "; expected 10 frames"),
        ({"remedy": "send the pulses again"}, "; send the pulses again"),
        ({"expected": "10 frames", "remedy": "send the pulses again"}, "; expected 10 frames; send the pulses again"),
    ],
)
def test_a_remote_error_says_who_where_what_and_what_to_do(parts: dict[str, str], further: str) -> None:
    error = RemoteError("recorder", "prepare", "http://here:1", "got 9 frames", **parts)
    assert str(error) == f"recorder: prepare failed at http://here:1: got 9 frames{further}"
    assert (error.expected, error.remedy) == (parts.get("expected", ""), parts.get("remedy", ""))
