"""The controller's own error; what the daemons refuse comes as its base, `stins.RemoteError`."""

from stins.errors import RemoteError

__all__ = ["ControllerError", "FramesLostError", "InterruptedWaitError"]


class ControllerError(RemoteError):
    """Something was awaited in vain, or a series went wrong.

    The text says which process, at which step, on which endpoint, for how long, and what to do.
    """


class FramesLostError(ControllerError):
    """Frames of a series are missing, and nothing else is wrong: the detector may still have others of it."""


class InterruptedWaitError(ControllerError):
    """Somebody ended the wait: an abort, a reset."""
