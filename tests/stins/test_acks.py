"""An ack goes through its bytes unchanged, and what is no ack is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stins import Ack, MessageError, decode_ack, encode_ack

ACKS = st.builds(
    Ack,
    boot_id=st.text(min_size=1, max_size=32),
    series_id=st.none() | st.text(max_size=40),
    message_id=st.none() | st.integers(0, 2**63 - 1),
)


@given(ACKS)
def test_an_ack_goes_through_its_bytes_unchanged(ack):
    assert decode_ack(encode_ack(ack)) == ack


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"boot_id":"b","series_id":null}', "message_id"),
        (b'{"boot_id":"b","series_id":null,"message_id":-1}', "message_id"),
        (b'{"boot_id":"","series_id":null,"message_id":1}', "boot_id"),
        (b'{"boot_id":"b","series_id":null,"message_id":1,"more":2}', "more"),
        (b"\xff\xfe", "ack"),
        (b"[", "ack"),
        (b"[" * 4000, "ack"),
        (b'{"boot_id":"' + b"b" * 5000 + b'"}', "5014 bytes, expected at most 4096"),
    ],
)
def test_what_is_no_ack_is_refused_by_name(raw, said):
    with pytest.raises(MessageError, match=said):
        decode_ack(raw)
