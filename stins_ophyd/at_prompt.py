"""What a detector says of itself at a prompt, in a notebook, and in a plan."""

import threading
from typing import Any

from .controller import Controller

__all__ = ["AtPrompt"]

#: Bluesky's, in which plans run.
_ENGINES_THREAD = "bluesky-run-engine"


class AtPrompt:
    """For a device: how its controller is, and what became of the last series. It asks nobody."""

    name: str
    controller: Controller

    def __str__(self) -> str:
        """Its name and state, and of its last series frames, rate and file."""
        return self.controller.summary.line(self.name)

    def __repr__(self) -> str:
        """The same; in a plan what ophyd says, for bluesky puts that into start documents, which stay."""
        if threading.current_thread().name == _ENGINES_THREAD:
            return super().__repr__()
        return f"<{type(self).__name__} {self}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What IPython shows; a line, where it stands in a list."""
        summary, nested = self.controller.summary, cycle or len(printer.stack) > 1
        printer.text(summary.line(self.name) if nested else summary.text(self.name))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.controller.summary.html(self.name)
