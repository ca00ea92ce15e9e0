"""Answers of camserver: a number for what they are about, OK or ERR, and text."""

import msgspec

__all__ = ["END", "Answer", "error", "ok"]

#: What ends an answer: the control character CAN, no line feed.
END = b"\x18"


class Answer(msgspec.Struct, frozen=True):
    """`after_s`: how long the command takes that it answers."""

    code: int
    text: str
    good: bool = True
    after_s: float = 0.0

    def encode(self) -> bytes:
        """As it goes over the wire."""
        return f"{self.code} {'OK' if self.good else 'ERR'} {self.text}".rstrip(" ").encode() + END


def ok(text: str = "", code: int = 15, after_s: float = 0.0) -> Answer:
    """The command was carried out."""
    return Answer(code, text, after_s=after_s)


def error(text: str, code: int = 15) -> Answer:
    """The command was refused."""
    return Answer(code, text, good=False)
