"""What databroker brings."""

from databroker.v1 import Broker

__all__ = ["Broker"]
