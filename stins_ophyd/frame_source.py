"""What the frames of a detector look like, as its acquirer says, and where documents say that they come from."""

from stins import StinsError
from stins.control import FrameDescription

from .controller import Controller
from .naming import named

__all__ = ["FrameSource"]


class FrameSource:
    """The acquirer of the detector that is called `device`."""

    def __init__(self, device: str, controller: Controller) -> None:
        self._device = device
        self._controller = controller
        self._seen: FrameDescription | None = None

    @property
    def name(self) -> str:
        """Where documents say that values come from."""
        acquirer = self._controller.snapshot.acquirer
        return f"stins:{acquirer.name}" if acquirer else "stins:"

    def frame(self, *, midway: bool) -> FrameDescription:
        """What the next frame looks like; `midway` in a series, what was seen last, where nobody is there to ask.

        Raises:
            StinsError: the acquirer does not answer, or does not know; the text names the detector.
        """
        if self._controller.snapshot.acquirer is None:
            if self._seen is not None and midway:
                # That nobody is there, the series' next step says: at once, and ends it.
                return self._seen
            with named(self._device, "describe its frames"):
                self._controller.connect()
        acquirer = self._controller.snapshot.acquirer
        if acquirer is not None and acquirer.frame is None:
            # A detector that was not there when its acquirer started is looked for again; what is in the way is raised.
            acquirer = self._controller.configure({})
        if acquirer is None or acquirer.frame is None:
            raise StinsError(
                f"{self._device}: the acquirer does not say what its frames look like; a source of numbers without "
                "images has no events here, its controller records it: controller.arm, .trigger, .wait_for"
            )
        self._seen = acquirer.frame
        return acquirer.frame
