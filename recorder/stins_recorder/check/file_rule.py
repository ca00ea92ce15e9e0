"""How a rule for files is written: a function that yields its faults, under the rule it stands for."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from stins.findings import Fault, Rule, Severity

from .recorded_file import RecordedFile

__all__ = ["FileCheck", "file_rule"]

_Search: TypeAlias = Callable[[RecordedFile], Iterator[Fault]]


class FileCheck(msgspec.Struct, frozen=True):
    """A rule and the function that looks for its faults; `ended`: only in files that are complete."""

    rule: Rule
    search: _Search
    ended: bool
    decode: bool


def file_rule(
    name: str, severity: Severity, description: str, *, ended: bool = False, decode: bool = False
) -> Callable[[_Search], FileCheck]:
    """Makes a `FileCheck` of a function. `decode`: only where the user asks for every frame to be decoded."""
    return lambda search: FileCheck(Rule(name, severity, description), search, ended, decode)
