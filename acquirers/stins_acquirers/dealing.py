"""Deals the frames of a series to several recorders: frame n goes to the one of share n mod N, start and end to all."""

import logging
from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from stins import SeriesHeader, Share, StinsError
from stins.messages import Payload
from stins.share import part_name

from .backend import Backend, Ending, Frame, WrapsLink
from .outbox import Outbox, frames_up_to
from .streams import Streams

__all__ = ["Dealer", "outbox_of"]

log = logging.getLogger(__name__)


class Dealer:
    """Several outboxes, by share, used as one is: what one has no room for waits, or is dropped, there alone."""

    def __init__(self, name: str, outboxes: Sequence[Outbox]) -> None:
        self._name = name
        self._outboxes = outboxes
        self._met: Frame | None = None
        self._stuck = outboxes[0]
        self._frames = 0
        self.next_frame = 0

    @property
    def sent(self) -> int:
        """Frames of this series that became a message."""
        return sum(outbox.sent for outbox in self._outboxes)

    @property
    def dropped(self) -> int:
        """Frames of this series that had to be dropped, or that the source lost."""
        return sum(outbox.dropped for outbox in self._outboxes)

    @property
    def not_given(self) -> int:
        """Those of them that the source lost."""
        return sum(outbox.not_given for outbox in self._outboxes)

    def open(self, header: SeriesHeader, payload: tuple[Payload, ...]) -> None:
        """Sends a series-start to each; raises `StinsError` if one does not take it, and no series is open then."""
        opened: list[Outbox] = []
        try:
            for index, outbox in enumerate(self._outboxes):
                outbox.open(_dealt(header, Share(index=index, count=len(self._outboxes))), payload)
                opened.append(outbox)
        except Exception as error:
            self._end(opened, Ending(status="failed", reason=str(error)), 0)
            raise
        self.next_frame = self._frames = 0

    def rewind(self, first_frame: int) -> None:
        """The next frame is `first_frame`; it and all after it are taken again if they were sent before."""
        for outbox in self._outboxes:
            outbox.rewind(first_frame)
        self.next_frame = first_frame

    def offer(self, frame: Frame) -> bool:
        """Sends a frame if its recorder has room for it; else it may be offered again, or dropped.

        Raises `StinsError` for a message that cannot be dealt, or that every receiver would refuse.
        """
        outbox = self._outbox_of(frame)
        if not outbox.offer(frame):
            self._stuck = outbox
            return False
        self._past(frame)
        return True

    def drop(self, frame: Frame) -> None:
        """Counts a frame that its recorder does not take; the next message to that one names it."""
        self._outbox_of(frame).drop(frame)
        self._past(frame)

    def _outbox_of(self, frame: Frame) -> Outbox:
        if frame.count != 1:
            raise StinsError(
                f"{self._name}: frame {frame.number}: got {frame.count} frames in one message, which cannot be dealt "
                f"to {len(self._outboxes)} recorders; set stream.recorders to 1"
            )
        chosen = self._outboxes[frame.number % len(self._outboxes)]
        if frame is not self._met:
            self._meet(frame, chosen)
        return chosen

    def _meet(self, frame: Frame, chosen: Outbox) -> None:
        """The first time: what the source says of other frames goes to the others."""
        self._met = frame
        for outbox in self._outboxes:
            if outbox is not chosen:
                if frame.retake:
                    outbox.rewind(frame.number)
                outbox.declare(frame.frames_dropped)

    def _past(self, frame: Frame) -> None:
        self._met = None
        self.next_frame = self._frames = frame.number + 1

    def close(self, ending: Ending) -> None:
        """Sends the series-end to all; raises `StinsError` if one does not take it, and the series is closed then."""
        errors = self._end(self._outboxes, ending, frames_up_to(self._frames, ending))
        if errors:
            raise errors[0]

    def _end(self, outboxes: Sequence[Outbox], ending: Ending, frames_total: int) -> list[StinsError]:
        errors = []
        for outbox in outboxes:
            try:
                outbox.close(ending, frames_total)
            except StinsError as error:
                log.warning("%s", error)
                errors.append(error)
        return errors

    def not_taken(self, what: str) -> StinsError:
        """The error that the recorder that had no room takes no messages."""
        return self._stuck.not_taken(what)

    def no_room(self, what: str) -> StinsError:
        """The error that there is no room for what the detector has, at that recorder."""
        return self._stuck.no_room(what)


def outbox_of(name: str, backend: Backend, streams: Streams, peer_timeout_s: float) -> Outbox | Dealer:
    """What messages go into: to one recorder, or dealt to several."""
    outboxes = []
    for publisher in streams.publishers:
        link = backend.wrap(publisher) if isinstance(backend, WrapsLink) else publisher
        outboxes.append(Outbox(name, link, publisher.endpoint, peer_timeout_s))
    return outboxes[0] if len(outboxes) == 1 else Dealer(name, outboxes)


def _dealt(header: SeriesHeader, share: Share) -> SeriesHeader:
    """The header of one share: a file and a number of frames of its own."""
    series = header.series
    filename, expected = series.filename, series.frames_expected
    return msgspec.structs.replace(
        header,
        series=msgspec.structs.replace(
            series,
            share=share,
            filename=part_name(filename, share.index) if filename else filename,
            frames_expected=UNSET if expected is UNSET else share.before(expected),
        ),
    )
