"""A report for people (a table a severity) and for programs (one JSON object)."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stins.findings import Finding, Report, Rule, Severity, shown

from .opening import FILE_RULES
from .reader import FILE_CHECKS
from .stream_rules import STREAM_RULES

__all__ = ["ALL_RULES", "as_json", "print_report", "print_rules"]

ALL_RULES: Final[tuple[Rule, ...]] = (*FILE_RULES, *(check.rule for check in FILE_CHECKS), *STREAM_RULES)
_STYLES: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
#: Where the output is no terminal a finding has one line, however long: whoever searches for a path finds it.
_FILE_WIDTH = 10_000


def as_json(report: Report) -> str:
    """One line of JSON. `counts` says what was looked at, and how many findings are counted but not listed."""
    findings = report.findings
    content: dict[str, Any] = {
        "target": report.target,
        "kind": report.kind,
        "errors": findings.count(Severity.ERROR),
        "warnings": findings.count(Severity.WARNING),
        "findings": [_as_mapping(finding) for finding in findings.listed],
        "counts": {
            **report.counts,
            "notes": findings.count(Severity.NOTE),
            "unlisted": sum(findings.unlisted.values()),
        },
        **({"facts": dict(report.facts)} if report.facts else {}),
    }
    return msgspec.json.encode(content).decode()


def _as_mapping(finding: Finding) -> dict[str, str]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "where": finding.where,
        "message": finding.message,
        **({"remedy": finding.remedy} if finding.remedy else {}),
    }


def print_report(report: Report) -> None:
    """Tables of findings, errors first; the last line is the sum."""
    console = _console()
    for severity in Severity:
        if listed := [finding for finding in report.findings.listed if finding.severity is severity]:
            console.print(_table(severity, listed))
    for rule, count in report.findings.unlisted.items():
        console.print(f"… and {count} more of {rule}", markup=False)
    for fact, value in report.facts.items():
        console.print(Text(f"{fact}: {shown(value)}"), soft_wrap=True)
    looked = ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in report.counts.items())
    console.print(Text(f"{report.kind} {report.target}: {looked or 'nothing was checked'}"), soft_wrap=True)
    console.print(_sum(report), highlight=False)


def _sum(report: Report) -> str:
    counts = [(severity.value, report.findings.count(severity)) for severity in Severity]
    # Errors and warnings are always named, notes only where there are some.
    return ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for name, n in counts if n or name != Severity.NOTE.value)


def _table(severity: Severity, findings: list[Finding]) -> Table:
    table = Table(title=f"{severity.value}s", title_justify="left", title_style=_STYLES[severity])
    columns = ["rule", "where", "got", "expected"]
    columns += ["remedy"] if any(finding.remedy for finding in findings) else []
    for column in columns:
        table.add_column("what to do" if column == "remedy" else column, overflow="fold", no_wrap=column == "rule")
    for finding in findings:
        # Text: what a file or a stream says is never read as markup.
        table.add_row(finding.rule, *(Text(getattr(finding, column)) for column in columns[1:]))
    return table


def print_rules(further: Iterable[Rule] = ()) -> None:
    """All rules of files and streams, and those of other checks, with what they ask for."""
    table = Table(title="rules", title_justify="left")
    for column in ("rule", "severity", "how it should be"):
        table.add_column(column, overflow="fold", no_wrap=column == "rule")
    for rule in (*ALL_RULES, *further):
        table.add_row(rule.id, Text(rule.severity.value, _STYLES[rule.severity]), rule.description)
    _console().print(table)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)
