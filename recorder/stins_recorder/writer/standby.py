"""A writer process in waiting: its libraries are loaded (0.3 s), and it records when it is told to.

`python -m stins_recorder.writer.standby LINK PAGE LEVEL` is started by the supervisor, with two inherited descriptors:
a socket, on which the order to record comes, and the page in which the writer says what it is doing.
"""

import faulthandler
import logging
import os
import select
import signal
import socket
import sys

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Waits for its order, and records; ends when the supervisor is gone."""
    # Ctrl-C goes to the whole group; the supervisor decides when its writer ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    # Here, not above: what comes before must not wait for it.
    from ..link import Begin, Link
    from ..watchdog import watch_of
    from .writer import Writer

    logging.basicConfig(level=argv[2], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    link, watch = Link(socket.socket(fileno=int(argv[0]))), watch_of(int(argv[1]))
    while not link.closed:
        select.select([link], [], [])
        for line in link.receive():
            if isinstance(line, Begin):
                return Writer.record(line, link, watch)
    return 0


if __name__ == "__main__":
    code = 1
    try:
        code = main(sys.argv[1:])
    except BaseException:
        logging.getLogger(__name__).exception("the writer ends")
    logging.shutdown()
    # HDF5 ends with the process, not before it: after a failed write its own way out can crash.
    os._exit(code)
