"""What a receiver must keep to go on after it died: frozen values that go through JSON and back unchanged. No I/O."""

from typing import TypeAlias

import msgspec

__all__ = ["AccountCheckpoint", "ReceiverCheckpoint", "SpanList"]

SpanList: TypeAlias = tuple[tuple[int, int], ...]


class AccountCheckpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The account of an open series (`SeriesAccount`); what its start says is not in it."""

    received: int
    duplicates: int
    refused: int
    missing: SpanList
    moved_keys: tuple[str, ...]
    notes: tuple[str, ...]
    next_frame: int
    retaken: int
    repeated: int
    lost_and_retaken: int
    void: int
    retake: tuple[int, int]
    declared: SpanList
    discarded: SpanList
    rowless: SpanList


class ReceiverCheckpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `SeriesReceiver` with everything below `next_id` handled; what waited in its window is to come again.

    `series_id` is that of the series started last, `account` None where no series is open. `lost` are the messages
    that were given up, `starts` the fingerprints of the last series-starts, `said` the kinds of reports made.
    """

    next_id: int | None
    series_id: str | None
    account: AccountCheckpoint | None
    lost: SpanList
    starts: tuple[str, ...]
    said: tuple[str, ...]
    strays: int
    duplicates: int
