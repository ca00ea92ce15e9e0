"""High-water marks from a budget in bytes: the library's default of 1,000 messages is 9 GB of 9 MB frames."""

__all__ = ["DEFAULT_BUDGET_BYTES", "DEFAULT_MAX_MESSAGE_BYTES", "DEFAULT_RING_BYTES", "high_water_mark"]

DEFAULT_BUDGET_BYTES = 1 << 30
#: The largest part taken: an EIGER 16M's frame of uint32 has 4150 x 4371 x 4 = 72,558,600 bytes. 1 GiB / 128 MiB =
#: 8 messages in a queue, which costs nothing measurable at 512 KiB and above (docs/explanations/decisions/0005).
DEFAULT_MAX_MESSAGE_BYTES = 128 << 20

#: What is sent and not acked yet: at 1 GB/s that a recorder flushes every 200 ms, 200 MB, and 300 ms more to come back.
DEFAULT_RING_BYTES = 512 << 20


def high_water_mark(budget_bytes: int, max_message_bytes: int) -> int:
    """How many messages a queue may hold so that it stays within the budget: at least 2, at most 1,000."""
    return max(2, min(1000, budget_bytes // max_message_bytes))
