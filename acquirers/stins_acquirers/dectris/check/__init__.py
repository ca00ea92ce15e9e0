"""Is a detector there, and as it should be? For `stins check http://DCU` and `stins check camserver://HOST:PORT`."""

from .camserver_check import CAMSERVER
from .simplon_check import SIMPLON

__all__ = ["CAMSERVER", "SIMPLON"]
