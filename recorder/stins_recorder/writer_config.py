"""What the writer is told of the recorder's configuration: plain values that the supervisor has checked.

The library that checks a configuration, and the one that reads YAML, would take each writer a third of the time in
which it loads its own.
"""

import msgspec

__all__ = ["OrderLimits", "WriterConfig"]


class OrderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """As `OrderConfig`."""

    window: int
    window_bytes: int
    gap_timeout_s: float


class WriterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is that of `RecorderConfig`, where it is described; `RecorderConfig.for_writer` makes one."""

    name: str
    roots: tuple[str, ...]
    sources: tuple[str, ...]
    acks: tuple[str, ...]
    live: str
    strict: bool
    order: OrderLimits
    idle_timeout_s: float | None
    sender_gone_s: float
    replay_timeout_s: float
    budget_bytes: int
    max_message_bytes: int
    flush_interval_s: float
    reserve_bytes: int
    frames_per_file: int | None
