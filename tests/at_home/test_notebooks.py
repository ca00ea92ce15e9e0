"""The notebooks of examples/ run from the first cell to the last, and what they draw is worth looking at."""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from matplotlib.image import imread

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
HOW_TO = ROOT / "docs" / "how-to" / "use-ipython.md"
NAMES = ("first_scan", "fast_series")
RUN_S = 170


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's, with the examples in it, in which both notebooks were run at once, each in a kernel of its own."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copytree(EXAMPLES, folder / "examples")
    running = [started(name, folder) for name in NAMES]
    for process in running:
        said, _ = process.communicate(timeout=RUN_S)
        assert process.returncode == 0, said
    return folder


def started(name: str, folder: Path) -> subprocess.Popen[str]:
    """That notebook, by the commands with which the how-to runs one."""
    (prepare, run) = re.search(
        r"^(mkdir .*)\nuv run .* (jupyter execute .*)$", HOW_TO.read_text(), re.MULTILINE
    ).groups()
    own = {each: str(folder / each.lower()) for each in ("XDG_STATE_HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR")}
    return subprocess.Popen(
        ["bash", "-ec", f"{prepare}\nexec {run.replace('first_scan', name)}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, **own, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )


@pytest.fixture(scope="module")
def notebooks(folder: Path) -> dict[str, Any]:
    """Both with what their cells put out."""
    return {name: nbformat.read(folder / "stins-data" / f"{name}.ipynb", as_version=4) for name in NAMES}


def test_running_them_changes_nothing_that_is_committed(folder):
    changed = [
        each.name for each in EXAMPLES.iterdir() if (folder / "examples" / each.name).read_bytes() != each.read_bytes()
    ]
    assert changed == []


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def text(notebook: Any) -> str:
    return "\n".join(
        str(output.get("text") or output.get("data", {}).get("text/plain")) for output in outputs(notebook)
    )


def pictures(notebook: Any) -> list[np.ndarray]:
    pngs = [output["data"]["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})]
    return [imread(io.BytesIO(base64.b64decode(png))) for png in pngs]


def colours(picture: np.ndarray) -> int:
    """How many it has: a blank page has one, a frame on a linear scale a dozen, its spots being far too bright."""
    red, green, blue = np.moveaxis((picture[..., :3] * 255).astype(int), -1, 0)
    return len(np.unique((red << 16) + (green << 8) + blue))


def test_the_first_scan_counts_and_reads_back(notebooks):
    said = text(notebooks["first_scan"])
    assert "sim_total" in said
    assert "sim  IDLE\n  frames  41, none missing" in said
    scanned, frame, spot = pictures(notebooks["first_scan"])
    assert min(colours(scanned), colours(spot)) > 100
    assert colours(frame) > 500


def test_the_fast_series_is_whole_and_shows_what_is_in_its_file(notebooks):
    said = text(notebooks["fast_series"])
    assert "fast  IDLE\n  frames  2000 of 2000, none missing" in said
    assert "outcome          complete" in said
    assert "(2000, 256, 256), uint16" in said
    assert "computed: max, spot_max, spot_sum, sum" in said
    assert "said:     notes, sensor_temperature, total_counts" in said
    frame, added, numbers = pictures(notebooks["fast_series"])
    assert min(colours(frame), colours(added)) > 500
    assert colours(numbers) > 100


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_shows_as_much_as_a_run_does(notebooks, name):
    committed = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    assert shown(committed) == shown(notebooks[name])


def shown(notebook: Any) -> list[tuple[int, set[str]]]:
    """In which order its cells were run, and what kinds of output each has."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(cell.execution_count, {output.output_type for output in cell.outputs}) for cell in code]
