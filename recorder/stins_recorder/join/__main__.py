"""The process that `run_join` starts: the order on stdin, the outcome on stdout."""

import sys
from pathlib import Path

import msgspec

from stins import StinsError

from .by_hand import request_for
from .master import join_parts
from .process import Order, Outcome
from .running import hide_parts, show_parts


def main() -> None:
    """Joins, or says why not."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    try:
        roots = [Path(root) for root in order.roots]
        request = order.request or request_for(roots[0] / order.file)
        if order.step == "join":
            outcome = Outcome(account=join_parts(roots, request))
        else:
            (show_parts if order.step == "show" else hide_parts)(roots, request)
            outcome = Outcome()
    except StinsError as error:
        outcome = Outcome(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
