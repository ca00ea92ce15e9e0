"""The process that `run_salvage` starts: the order on stdin, what was found on stdout."""

import faulthandler
import os
import sys

import msgspec

from .process import Order
from .work import salvage


def main() -> None:
    """Salvages one file."""
    faulthandler.enable()
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    found = salvage(order)
    sys.stdout.buffer.write(msgspec.json.encode(found))
    sys.stdout.flush()
    # Whatever HDF5 still holds of a file that it could not close must not be written on the way out.
    os._exit(0)


if __name__ == "__main__":
    main()
