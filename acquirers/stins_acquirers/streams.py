"""The streams of an acquirer, one for each of its recorders, used as one."""

import logging
import time
from collections.abc import Sequence

from stins.transport import Publisher

__all__ = ["Streams"]

log = logging.getLogger(__name__)


class Streams:
    """Waits, counts and ends for all of them; what is sent goes to each publisher by itself."""

    def __init__(self, publishers: Sequence[Publisher]) -> None:
        self.publishers = tuple(publishers)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where the recorders connect to."""
        return tuple(publisher.endpoint for publisher in self.publishers)

    @property
    def acks(self) -> tuple[str, ...]:
        """Where they send their acks, in the same order; empty where none are heard."""
        return tuple(publisher.acks for publisher in self.publishers if publisher.acks is not None)

    @property
    def replay(self) -> bool:
        """Whether what a recorder loses when it dies is sent to it again."""
        return all(publisher.replay for publisher in self.publishers)

    @property
    def unacked(self) -> int:
        """Messages that are kept until they are acked."""
        return sum(publisher.unacked for publisher in self.publishers)

    @property
    def unacked_bytes(self) -> int:
        """Their size."""
        return sum(publisher.unacked_bytes for publisher in self.publishers)

    @property
    def waiting(self) -> int:
        """Messages that are still to be handed to a socket."""
        return sum(publisher.waiting for publisher in self.publishers)

    def wait_for_peers(self, timeout_s: float) -> str | None:
        """Waits until each has its recorder; the endpoint of one that has none by then, else None."""
        deadline = time.monotonic() + timeout_s
        for publisher in self.publishers:
            if not publisher.wait_for_peer(max(0.0, deadline - time.monotonic())):
                return publisher.endpoint
        return None

    def wait_for_room(self, timeout_s: float) -> None:
        """Waits about so long for room in one of them, or less; what waits to be sent is sent meanwhile."""
        for publisher in self.publishers:
            publisher.wait_for_room(timeout_s / len(self.publishers))

    def service(self) -> None:
        """Hears acks and sends what waits, without waiting itself."""
        for publisher in self.publishers:
            publisher.service()

    def drain(self, timeout_s: float) -> None:
        """Waits until all is acked, at most so long."""
        deadline = time.monotonic() + timeout_s
        for publisher in self.publishers:
            left = publisher.drain(max(0.0, deadline - time.monotonic()))
            if left:
                log.warning("%s: %d messages were not acked within %g s", publisher.endpoint, left, timeout_s)

    def close(self) -> None:
        """Closes the sockets. Closing twice does no harm."""
        for publisher in self.publishers:
            publisher.close()
