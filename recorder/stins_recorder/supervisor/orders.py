"""Orders to the writer, given from any thread, and the answers to them."""

import queue
import threading

from stins.control import PrepareRequest

from ..errors import RecorderError
from ..link import Answer, Link, Order, OrderKind

__all__ = ["Orders"]

_DEADLINE_S = 5.0
#: A writer that died is followed by another one in some milliseconds, without a spare in a second.
_NEXT_WRITER_S = 3.0


class Orders:
    """Numbers the orders, so that each thread gets the answer to its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._answers: dict[int, queue.SimpleQueue[Answer]] = {}
        self._link: Link | None = None

    def give_to(self, link: Link | None) -> None:
        """From now on orders go there; None: there is nobody to take one."""
        with self._changed:
            self._link = link
            self._changed.notify_all()

    def give(self, what: OrderKind, prepare: PrepareRequest | None = None, *, reason: str = "") -> None:
        """Gives an order; returns when it has been carried out.

        Raises:
            RecorderError: it was refused, nobody is there, or no answer came in time.
        """
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        with self._changed:
            if not self._changed.wait_for(lambda: self._link is not None, _NEXT_WRITER_S) or self._link is None:
                raise RecorderError(
                    f"{what}: the writer died, and no other was there within {_NEXT_WRITER_S:g} s; try again"
                )
            self._number += 1
            number = self._number
            self._answers[number] = answers
            self._link.send(Order(number=number, what=what, prepare=prepare, reason=reason))
        try:
            answer = answers.get(timeout=_DEADLINE_S)
        except queue.Empty:
            raise RecorderError(
                f"{what}: the writer did not answer within {_DEADLINE_S:g} s; it may hang in a call to the file "
                "system: /reset kills it and starts another"
            ) from None
        finally:
            self._answers.pop(number, None)
        if answer.error:
            raise RecorderError(f"{what}: {answer.error}")

    def answered(self, answer: Answer) -> None:
        """An answer came; one that nobody waits for any more is dropped."""
        if waiting := self._answers.get(answer.number):
            waiting.put(answer)
