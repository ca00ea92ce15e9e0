"""`stins join`: by hand, when a part has come back or was salvaged."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from dealt import NAME, Dealt, differences
from recorder_kit import image
from stins_recorder.errors import RecorderError
from stins_recorder.join.cli import main
from stins_recorder.salvage.process import run_salvage


def test_a_salvaged_part_is_joined_to_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dealt = Dealt(tmp_path, 2, expected=8)
    dealt.start()
    dealt.frames(*range(6))
    dealt.desks[1].recording.flush()
    shutil.copy(dealt.part(1), tmp_path / "left by a dead writer")
    dealt.frames(6, 7)
    dealt.end(8)
    (tmp_path / "left by a dead writer").replace(dealt.part(1))

    assert dealt.join(1).missing == 4
    assert main([str(dealt.root / NAME)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "its recorder has not closed it; start that recorder again" in said
    assert "h5clear" not in said
    assert run_salvage(dealt.part(1), reason="the recorder died").found == "salvaged"
    assert main(["--json", str(dealt.part(1))]) == 1

    account = json.loads(capsys.readouterr().out)
    assert (account["missing_frames"], account["frames_expected"]) == ([[7, 7]], 8)
    with h5py.File(account["file"]) as file:
        assert np.array_equal(file["/entry/data/data"][()], [image(number) for number in range(7)])


def test_the_parts_say_what_belongs_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dealt = Dealt(tmp_path, 3, expected=5)
    dealt.series(5)
    assert main([str(dealt.part(2))]) == 0
    assert capsys.readouterr().out == f"{dealt.root / NAME}: 5 rows, 0 missing, complete\n"
    assert differences(dealt.root / NAME, dealt.whole.path) == []


def test_a_file_without_parts_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecorderError, match=r"lonely\.h5: none of its parts \(lonely_part0\.h5, \.\.\.\) stands"):
        main([str(tmp_path / "lonely.h5")])
