"""The sending process: series as fast as they are taken, or at a pace, over links with and without acks."""

import time
from multiprocessing.connection import Connection

from cases import CASES, Case

from stins import Part, SeriesHeader, SeriesInfo, SeriesSender, encode
from stins.messages import Payload
from stins.transport import Publisher

__all__ = ["send_series"]

_DEADLINE_S = 120.0
_SERVICE_S = 0.02


def send_series(pipe: Connection, names: tuple[str, ...], budget_bytes: int, max_message_bytes: int) -> None:
    """Says where its links are, then sends each series that it is told to: (link, case, frames, id, rate or None).

    It answers with the time of the first frame, and, once all is acked, with that of the series-end. With a sixth word,
    "settled", the series-end waits until the last frame is acked; with "held", until it is told so after that.
    """
    links = {name: _Link(name, budget_bytes, max_message_bytes) for name in names}
    pipe.send({name: (link.publisher.endpoint, link.publisher.acks) for name, link in links.items()})
    while True:
        while not pipe.poll(_SERVICE_S):
            for link in links.values():
                link.publisher.service()
        name, case, frames, series_id, rate, *end = pipe.recv()
        links[name].series(pipe, CASES[case], frames, series_id, rate, end=end[0] if end else "")


class _Link:
    def __init__(self, name: str, budget_bytes: int, max_message_bytes: int) -> None:
        # The minimal receiver doesn't ack; a sender without acks keeps nothing for it.
        acks = None if name == "limit" else "tcp://127.0.0.1:0"
        self.publisher = Publisher(
            "tcp://127.0.0.1:0",
            acks=acks,
            ring_bytes=budget_bytes,
            budget_bytes=budget_bytes,
            max_message_bytes=max_message_bytes,
        )
        self._machine = SeriesSender()

    def series(
        self, pipe: Connection, case: Case, frames: int, series_id: str, rate: float | None, *, end: str
    ) -> None:
        part, payloads, machine = (case.part,), case.payloads, self._machine
        filename = series_id if series_id.endswith(".h5") else None
        info = SeriesInfo(id=series_id, filename=filename, frames_expected=frames)
        announced = (Part(name="image", shape=case.shape, dtype=case.dtype),)
        self._put([encode(machine.start(SeriesHeader(series=info, data=announced)))])
        # The file is open before the first frame, as the controller sees to.
        if pipe.poll(_DEADLINE_S):
            pipe.recv()
        began = time.monotonic()
        pipe.send(began)
        for number in range(frames):
            if rate is not None:
                self._pace(began + number / rate)
            self._put([encode(machine.data(number, data=part)), payloads[number % len(payloads)]])
        if end:
            self.publisher.drain(_DEADLINE_S)
        if end == "held":
            self._hold(pipe)
        ending = time.monotonic()
        self._put([encode(machine.end())])
        self.publisher.drain(_DEADLINE_S)
        pipe.send(ending)

    def _hold(self, pipe: Connection) -> None:
        until = time.monotonic() + _DEADLINE_S
        while not pipe.poll(_SERVICE_S):
            self.publisher.service()
            if time.monotonic() > until:
                raise SystemExit(f"nobody let the series end within {_DEADLINE_S:g} s")
        pipe.recv()

    def _pace(self, when: float) -> None:
        while (left := when - time.monotonic()) > 0:
            self.publisher.service()
            time.sleep(min(left, _SERVICE_S))

    def _put(self, parts: list[Payload]) -> None:
        if not self.publisher.send(parts) and not self.publisher.send(parts, _DEADLINE_S):
            raise SystemExit(f"no receiver took a message within {_DEADLINE_S:g} s")
