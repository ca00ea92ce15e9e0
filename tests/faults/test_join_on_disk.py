"""A joined file is on the disk, name and all, when somebody is told that it is there."""

import subprocess
import sys
from pathlib import Path

from shim import FaultPage, Kind, Mode

sys.path.insert(0, str(Path(__file__).parent.parent / "recorder" / "join"))
from dealt import NAME, Dealt


def test_the_name_of_a_joined_file_is_forced_to_the_disk_too(shim: Path, tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2, expected=4)
    dealt.series(4)
    page = FaultPage(tmp_path / "page")
    # The first is the file's content.
    page.arm(Mode.FAIL, tmp_path, 2, kinds=Kind.SYNC)
    done = subprocess.run(
        [sys.executable, "-m", "stins.cli", "join", str(dealt.root / NAME)],
        env=page.environment(shim),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    struck = page.struck
    page.close()
    assert struck == 1
    assert f"join {dealt.root / NAME}: the disk reports an input/output error" in done.stdout + done.stderr
    assert done.returncode
