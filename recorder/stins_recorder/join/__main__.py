"""The process that `run_join` starts: the order on stdin, the outcome on stdout."""

import sys
from pathlib import Path

import msgspec

from stins import StinsError

from .by_hand import request_for
from .master import join_parts
from .process import Order, Outcome


def main() -> None:
    """Joins, or says why not."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    try:
        roots = [Path(root) for root in order.roots]
        outcome = Outcome(account=join_parts(roots, order.request or request_for(roots[0] / order.file)))
    except StinsError as error:
        outcome = Outcome(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
