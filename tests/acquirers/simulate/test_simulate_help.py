"""`--help` of the simulators names what can go wrong with them."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from stins_acquirers.simulate.camserver import cli as camserver_cli
from stins_acquirers.simulate.camserver import faults as camserver_faults
from stins_acquirers.simulate.eiger import cli as eiger_cli
from stins_acquirers.simulate.eiger import faults as eiger_faults


@pytest.mark.parametrize(
    ("main", "kinds", "hook"),
    [
        (eiger_cli.main, eiger_faults.FaultKind, "/simulator"),
        (camserver_cli.main, camserver_faults.FaultKind, "`hook`"),
    ],
)
def test_help_names_each_kind_of_fault_and_the_hook(
    main: Callable[[list[str]], int], kinds: Any, hook: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    listed = said.partition("kinds of faults: ")[2]
    assert listed.startswith(", ".join(get_args(kinds)) + ";")
    assert hook in listed
