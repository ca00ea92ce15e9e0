"""Every error that the protocol raises, under one base."""

__all__ = ["CbfError", "LocalProtocolError", "MessageError", "RemoteError", "StinsError"]


class StinsError(Exception):
    """Base of all errors of this project."""


class LocalProtocolError(StinsError):
    """We were about to break the protocol ourselves: a bug on this side, nothing was sent."""


class MessageError(StinsError):
    """A message from the wire was refused; the text names the key and the value.

    `message_id` is the number of the refused message where it could be read, so that a receiver
    can tell a refused message from a lost one.
    """

    def __init__(self, text: str, message_id: int | None = None) -> None:
        super().__init__(text)
        self.message_id = message_id


class CbfError(StinsError):
    """A CBF file is cut off, damaged or of a kind that is not read; the text says what it got and expected."""


class RemoteError(StinsError):
    """Another process refused, failed or did not answer.

    The text says which process, at which step, on which endpoint, what it got, what was expected and what to do; the
    last two only where they are given beside the `problem`.
    """

    def __init__(
        self, process: str, step: str, endpoint: str, problem: str, *, expected: str = "", remedy: str = ""
    ) -> None:
        further = [f"expected {expected}"] if expected else []
        further += [remedy] if remedy else []
        super().__init__("; ".join([f"{process}: {step} failed at {endpoint}: {problem}", *further]))
        self.process = process
        self.step = step
        self.endpoint = endpoint
        self.problem = problem
        self.expected = expected
        self.remedy = remedy
