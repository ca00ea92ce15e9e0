"""`stins check` as a person runs it, and the how-to's own commands."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pytest
import zmq
from stins_recorder.check.cli import main
from stins_recorder.check.report import ALL_RULES, print_report

from stins import SeriesHeader, SeriesSender, encode
from stins.findings import Findings, Report, Rule, Severity
from stins.transport import LivePublisher, Publisher

Make = Callable[..., Path]
HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "check-a-file-or-stream.md"


def _messages() -> list[bytes]:
    sender = SeriesSender()
    return [encode(message) for message in (sender.start(SeriesHeader()), sender.data(0), sender.end())]


def _push(stop: threading.Event, publisher: Publisher) -> None:
    while not stop.is_set():
        for message in _messages():
            publisher.send([message], timeout_s=0.2)


@pytest.fixture
def endpoints() -> Iterator[dict[str, str]]:
    """An acquirer's and a recorder's address, under those that the how-to names; series without end."""
    stop = threading.Event()
    with zmq.Context() as context:
        push = Publisher("tcp://127.0.0.1:0", context=context)
        live = LivePublisher("tcp://127.0.0.1:0", budget_bytes=1 << 20, max_message_bytes=1 << 16, context=context)

        def publish() -> None:
            # A series each 50 ms: a subscriber that joins in the middle of one sees the next from its start.
            while not stop.wait(0.05):
                live.watch_subscribers()
                for message in _messages():
                    live.send([message])

        threads = [threading.Thread(target=publish), threading.Thread(target=_push, args=(stop, push))]
        for thread in threads:
            thread.start()
        yield {"tcp://127.0.0.1:9999": push.endpoint, "tcp://127.0.0.1:43053": live.endpoint}
        stop.set()
        for thread in threads:
            thread.join(10)
        live.close()
        push.close(linger_s=0)


def _how_to_commands() -> list[str]:
    blocks = re.findall(r"^```\n(stins check .*?)^```", HOW_TO.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("command", _how_to_commands())
def test_a_command_of_the_how_to_works_as_it_stands(command: str, make: Make, endpoints: dict[str, str]) -> None:
    folder = make().parent
    for written, real in endpoints.items():
        command = command.replace(written, real)
    arguments = [sys.executable, "-m", "stins.cli", *shlex.split(command)[1:]]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_the_how_to_shows_what_the_command_prints(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(make().parent)
    assert main(["scan_0001.h5"]) == 0
    assert capsys.readouterr().out.strip() in HOW_TO.read_text()


def test_the_json_has_findings_by_rule_and_severity(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    path = make(lost=[2])
    assert main(["--json", str(path)]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["target"], report["kind"], report["errors"], report["warnings"]) == (str(path), "file", 0, 1)
    (finding,) = report["findings"]
    assert set(finding) == {"rule", "severity", "where", "message"}
    assert (finding["rule"], finding["severity"]) == ("frames.incomplete", "warning")
    assert (report["counts"]["frames"], report["counts"]["missing"]) == (4, 1)


def test_errors_make_the_exit_status_1_and_the_table_names_rule_place_got_and_expected(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make()
    with h5py.File(path, "r+") as file:
        file["/entry/data"].attrs["signal"] = "[red]nope"
    assert main([str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    for words in ("nexus.signal", "/entry/data", "@signal '[red]nope'", "the name of a dataset in it"):
        assert any(words in line for line in lines)
    assert lines[-1] == "1 error, 0 warnings"


def test_a_finding_has_one_line_where_the_output_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    where, got, expected = "/".join(["entry"] * 30), " ".join(["got"] * 40), "what it should be"
    findings = Findings()
    findings.fault(Rule("a.rule", Severity.ERROR, "", " ".join(["mend"] * 40)), where, got, expected)
    print_report(Report("x.h5", "file", findings, {}))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "a.rule" in line]
    assert all(words in line for words in (where, got, expected, " ".join(["mend"] * 40)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "got no target"),
        (["there/is/none.h5"], "there/is/none.h5: got no such file"),
        (["."], "something that is no file"),
        (["nowhere://1"], "nowhere://1"),
        (["--seconds", "soon", "tcp://127.0.0.1:1"], "'soon', expected a number of seconds above 0"),
        (["--timeout", "0", "x.h5"], "'0', expected a number of seconds above 0"),
    ],
)
def test_wrong_usage_says_what_was_got_and_ends_with_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert words in capsys.readouterr().err


def test_the_list_of_rules_has_every_rule_with_its_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rules"]) == 0
    out = capsys.readouterr().out
    assert [rule.id for rule in ALL_RULES if rule.id not in out or rule.description[:30] not in out] == []


def test_a_rule_that_is_broken_a_thousand_times_is_listed_fifty_times_and_counted() -> None:
    findings = Findings()
    for number in range(1000):
        findings.fault(Rule("a.rule", Severity.ERROR, ""), str(number), "this", "that")
    assert (len(findings.listed), findings.count(Severity.ERROR), findings.unlisted) == (50, 1000, {"a.rule": 950})


def test_a_terminal_sees_at_what_the_check_is(make: Make) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    os.set_blocking(ours, False)
    command = [sys.executable, "-m", "stins.cli", "check", str(make())]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, timeout=60, check=False)
    seen = os.read(ours, 65536)
    os.close(theirs)
    os.close(ours)
    assert (done.returncode, b"opening the file" in seen) == (0, True)


def test_the_checker_needs_neither_ophyd_nor_bluesky_nor_tango() -> None:
    code = "import sys, stins_recorder.check.cli; print({'ophyd', 'bluesky', 'tango', 'tiled'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
