"""Which frame an image is: images count on over all triggers, frames begin anew where they are taken again. No I/O."""

from collections import deque
from collections.abc import Iterator

__all__ = ["Numbering", "Spans"]

Spans = tuple[tuple[int, int], ...]


class Numbering:
    """`per_trigger` images belong to each trigger, 0: there is one trigger for all."""

    def __init__(self, per_trigger: int = 0) -> None:
        self._per_trigger = per_trigger
        self._triggers = 0
        #: From which image on frames are numbered from where.
        self._segments: deque[tuple[int, int]] = deque([(0, 0)])
        self.next_image = 0

    @property
    def triggered(self) -> int:
        """How many images the triggers so far give."""
        return self._triggers * self._per_trigger

    @property
    def next_frame(self) -> int:
        """The frame that the next image is."""
        return self._frame(self.next_image)

    def trigger(self, first_frame: int | None) -> None:
        """The images of one more trigger are frames from `first_frame` on, or follow the others."""
        image = max(self.triggered, self.next_image)
        frame = self._frame(image) if first_frame is None else first_frame
        self._triggers += 1
        if frame != self._frame(image):
            self._segments.append((image, frame))

    def take(self, image: int) -> tuple[int, Spans] | None:
        """The frame that the image is, and the frames that were lost before it; None for one that came before."""
        if image < self.next_image:
            return None
        lost = self.lose_up_to(image) if image > self.next_image else ()
        self.next_image = image + 1
        while len(self._segments) > 1 and self._segments[1][0] <= image:
            self._segments.popleft()
        first_image, first_frame = self._segments[0]
        return first_frame + image - first_image, lost

    def lose_up_to(self, image: int) -> Spans:
        """The frames of all images before this one that have not come; they are not waited for any longer."""
        lost = tuple(self._frames(self.next_image, image - 1))
        self.next_image = max(self.next_image, image)
        return lost

    def _frame(self, image: int) -> int:
        return next(frame + image - first for first, frame in reversed(self._segments) if first <= image)

    def _frames(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The frames of these images; those that are taken again later are still to come."""
        segments = list(self._segments)
        ends = [following for following, _ in segments[1:]] + [last + 1]
        for index, (begin, frame) in enumerate(segments):
            low, high = max(first, begin), min(last, ends[index] - 1)
            again = min((number for _, number in segments[index + 1 :]), default=None)
            top = frame + high - begin if again is None else min(frame + high - begin, again - 1)
            if low <= high and frame + low - begin <= top:
                yield frame + low - begin, top
