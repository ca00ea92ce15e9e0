"""STINS over ZeroMQ: it knows bytes, endpoints and budgets, not detectors."""

from .acks import AckSender
from .hwm import DEFAULT_BUDGET_BYTES, DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_RING_BYTES, high_water_mark
from .live import LivePublisher
from .publisher import Link, Publisher
from .receiver import Receiver
from .sockets import TransportError

__all__ = [
    "DEFAULT_BUDGET_BYTES",
    "DEFAULT_MAX_MESSAGE_BYTES",
    "DEFAULT_RING_BYTES",
    "AckSender",
    "Link",
    "LivePublisher",
    "Publisher",
    "Receiver",
    "TransportError",
    "high_water_mark",
]
