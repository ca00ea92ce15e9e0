"""The times that come with an image of stream v2."""

__all__ = ["NS_A_SECOND", "TIMES", "nanoseconds"]

NS_A_SECOND = 1_000_000_000
TIMES = ("start_time", "stop_time", "real_time")


def nanoseconds(count: int, frequency: int) -> int:
    """So many ticks of that frequency (Hz); the detectors count in 20 ns, so that nothing is rounded."""
    return (count * NS_A_SECOND + frequency // 2) // frequency
