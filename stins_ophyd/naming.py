"""Whose step it was that another process refused."""

from collections.abc import Iterator
from contextlib import contextmanager

from stins import RemoteError, StinsError

__all__ = ["named"]


@contextmanager
def named(device: str, step: str) -> Iterator[None]:
    """What another process refuses inside is said with the device and its step: a plan has several detectors.

    Raises:
        StinsError: it refused, failed or did not answer.
    """
    try:
        yield
    except RemoteError as error:
        # Without the other one: its text is in this one, and a prompt shows the whole of both.
        raise StinsError(f"{device}: {step}: {error}") from None
