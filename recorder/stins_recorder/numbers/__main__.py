"""The process that computes numbers: `python -m stins_recorder.numbers LINK LEVEL`, started by the supervisor.

Orders come on an inherited socket, one line of JSON each, and each is answered before the next one comes.
"""

import logging
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from stins import StinsError

from ..storage import HDF5_ERRORS
from .messages import Done, Work
from .reading import NotNowError, UnreadableError
from .series_numbers import SeriesNumbers

log = logging.getLogger("stins_recorder.numbers")


class _Desk:
    """The series at hand; another one takes its place."""

    def __init__(self) -> None:
        self._series: SeriesNumbers | None = None

    def carry_out(self, work: Work) -> Done:
        path = Path(work.file)
        try:
            if self._series is None or self._series.path != path:
                self.clear()
                self._series = SeriesNumbers(path)
            done = self._series.advance(work)
        except NotNowError as error:
            log.debug("%s", error)
            self.clear()
            return Done(file=work.file, again=True)
        except (*HDF5_ERRORS, StinsError) as error:
            self.clear()
            problem = " ".join(str(error).split()) or repr(error)
            return Done(file=work.file, problem=problem, unreadable=isinstance(error, UnreadableError))
        if done.complete:
            self.clear()
        return done

    def clear(self) -> None:
        series, self._series = self._series, None
        if series is not None:
            series.close()


def main(argv: list[str]) -> None:
    """Until the supervisor is gone."""
    # Both go to the whole group (Ctrl-C; a service manager's stop); the supervisor's end of the socket ends this one,
    # not in the middle of a write.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=argv[1], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    decoder, desk = msgspec.json.Decoder(Work), _Desk()
    # A supervisor that is killed cannot hear the answer.
    with socket.socket(fileno=int(argv[0])) as end, suppress(ConnectionError), end.makefile("rb") as orders:
        for order in orders:
            end.sendall(msgspec.json.encode(desk.carry_out(decoder.decode(order))) + b"\n")
    desk.clear()


if __name__ == "__main__":
    main(sys.argv[1:])
