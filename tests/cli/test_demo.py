"""`stins demo`, as a new user runs it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  # registers the filters
import psutil
import pytest


def result_of(done):
    return json.loads(done.stdout.splitlines()[-1])


def test_the_demo_proves_that_every_frame_came_back(stins, tmp_path):
    done = stins("demo", "--json", "--folder", tmp_path / "demo", "--frames", 40)
    assert done.returncode == 0, done.stdout + done.stderr
    result = result_of(done)
    assert "frames/s]" not in done.stdout + done.stderr  # a progress bar is for a screen
    assert (result["frames"], result["frames_identical"], result["state"]) == (40, 40, "complete")
    assert [(run["plan"], run["frames"], run["frames_identical"]) for run in result["runs"]] == [
        ("scan", 5, 5),
        ("fly_series", 40, 40),
    ]
    assert Path(result["picture"]).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with h5py.File(result["file"]) as file:
        assert file["/entry/data/data"].shape == (40, 512, 512)
        assert file["/entry/series/outcome"][()] == b"complete"
    started = [int(pid) for pid in re.findall(r"process (\d+) ", done.stdout)]
    assert len(started) == 2
    assert not [pid for pid in started if psutil.pid_exists(pid)]


def test_a_captured_eiger_stream_goes_through_the_chain_and_ends_incomplete(stins, tmp_path, captures):
    capture = captures / "eiger1-1M-stream-v1.zip"
    done = stins("demo", "--json", "--folder", tmp_path / "demo", "--capture", capture, "--frames-per-file", 4)
    assert done.returncode == 0, done.stdout + done.stderr
    result = result_of(done)
    assert (result["frames"], result["frames_identical"], result["state"]) == (9, 9, "incomplete")
    assert "the capture ends without" in result["reason"]
    assert "INCOMPLETE" in done.stdout
    with h5py.File(result["file"]) as file:
        assert file["/entry/data/data"].shape == (9, 1065, 1030)
        assert file["/entry/series/outcome"][()] == b"incomplete"
    assert len(list((tmp_path / "demo" / "data").rglob("*_data_*"))) == 3


@pytest.mark.long
def test_frames_that_were_lost_are_not_called_identical(tmp_path):
    code = f"""
from pathlib import Path
from stins_ophyd import demo
config = demo.detector_config(None)
config.acquirer["settings"] = {{**config.acquirer["settings"], "faults": [{{"kind": "drop", "frame": 12}}]}}
with demo.chain(Path({str(tmp_path)!r}), config, print) as running:
    run = running.fly(20)
print(run.frames_sent, run.frames, run.frames_identical, run.state, run.identical)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.splitlines()[-1] == "20 12 12 incomplete False", done.stderr


def test_a_capture_that_is_not_there_is_named(stins, tmp_path):
    done = stins("demo", "--capture", tmp_path / "none.zip")
    assert done.returncode == 2
    assert "none.zip" in done.stderr
