"""Addresses of detectors as `stins check` gets them."""

from urllib.parse import SplitResult, urlsplit

from stins import StinsError

__all__ = ["host_and_port"]


def host_and_port(url: str, default_port: int, example: str) -> tuple[SplitResult, str, int]:
    """The address in its parts, its host and its port; raises `StinsError` for one that is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or default_port
    except ValueError as error:
        raise StinsError(f"{url}: {error}; expected an address such as {example}") from None
    if not host:
        raise StinsError(f"{url}: got no host, expected an address such as {example}")
    return parts, host, port
