"""Rules, what they find, and the list of it. Pure values."""

from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum

import msgspec

__all__ = ["Checker", "Fault", "Finding", "Findings", "Report", "Rule", "Severity", "finding", "shown"]

#: So many findings of one rule are listed, the rest is counted: a broken file of a million frames stays readable.
_LISTED_PER_RULE = 50
_LONGEST_VALUE = 200


class Severity(Enum):
    """An error breaks a rule; a warning is no fault of the file or stream, but somebody should know; a note informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Rule(msgspec.Struct, frozen=True):
    """One thing that is checked: `description` says how it should be, `remedy` what to do where it isn't."""

    id: str
    severity: Severity
    description: str
    remedy: str = ""


class Fault(msgspec.Struct, frozen=True):
    """Where a rule is broken."""

    where: str
    got: str
    expected: str


class Finding(msgspec.Struct, frozen=True, tag=True):
    """A rule, where it is broken, and how."""

    rule: str
    severity: Severity
    where: str
    got: str
    expected: str
    remedy: str = ""

    @property
    def message(self) -> str:
        """One sentence."""
        return f"got {self.got}, expected {self.expected}"


class Findings:
    """What was found so far, at most 50 of each rule; the others are counted."""

    def __init__(self) -> None:
        self.listed: list[Finding] = []
        self._by_rule: Counter[str] = Counter()
        self._by_severity: Counter[Severity] = Counter()

    def add(self, finding: Finding) -> None:
        """Lists a finding, or counts it only."""
        self._by_rule[finding.rule] += 1
        self._by_severity[finding.severity] += 1
        if self._by_rule[finding.rule] <= _LISTED_PER_RULE:
            self.listed.append(finding)

    def fault(self, rule: Rule, where: str, got: str, expected: str) -> None:
        """Adds what one rule found."""
        self.add(finding(rule, Fault(where, got, expected)))

    def count(self, severity: Severity) -> int:
        """How many there are, listed or not."""
        return self._by_severity[severity]

    @property
    def unlisted(self) -> dict[str, int]:
        """Of which rules there are more than are listed, and how many."""
        return {rule: n - _LISTED_PER_RULE for rule, n in self._by_rule.items() if n > _LISTED_PER_RULE}


class Report(msgspec.Struct, frozen=True):
    """The result of one check: `kind` is file or stream, or what else was checked, `counts` what was looked at.

    `facts` is what was seen there, for somebody who looks.
    """

    target: str
    kind: str
    findings: Findings
    counts: Mapping[str, int]
    facts: Mapping[str, str] = {}


class Checker(msgspec.Struct, frozen=True):
    """How a connection is checked: an entry point of the group `stins.checks`, named as the scheme of its addresses.

    `check` gets the whole address, and raises `StinsError` for one that is none; `example` is one.
    """

    example: str
    rules: tuple[Rule, ...]
    check: Callable[[str], Report]


def finding(rule: Rule, fault: Fault) -> Finding:
    """The fault under the name and severity of its rule, safe to be printed."""
    return Finding(rule.id, rule.severity, shown(fault.where), shown(fault.got), shown(fault.expected), rule.remedy)


def shown(text: str) -> str:
    """Text of unknown origin for a terminal: no control characters, not endless."""
    text = text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
