"""Numbers in a head, which come from anybody."""

from typing import Literal

import pytest

from stins.daemon.heads import natural


@pytest.mark.parametrize(
    ("text", "base", "number"),
    [
        ("0", 10, 0),
        ("12", 10, 12),
        ("1F", 16, 31),
        ("0b1", 16, 177),
        ("9" * 18, 10, 10**18 - 1),
        *((text, 10, None) for text in ("", "-1", "+1", " 1", "1_0", "²", "1f", "9" * 19)),
        *((text, 16, None) for text in ("", "-1", "g", "1_0", "0x10", "0X1")),
    ],
)
def test_a_number_is_digits_and_nothing_else(text: str, base: Literal[10, 16], number: int | None) -> None:
    assert natural(text, base) == number
