"""The benchmark runs and prints what it promises; its speed is judged by people, not here."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


def test_its_last_line_is_json_with_a_ratio_for_each_case(tmp_path):
    options = ["--json", "--rounds", "1", "--megabytes", "4", "--disk", str(tmp_path), "--sizes", "32768"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "recorder.py"), *options, "--targets", "disk"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cases = json.loads(done.stdout.splitlines()[-1])["cases"]
    assert [(case["frame_bytes"], case["compression"], case["target"]) for case in cases] == [
        (32768, "none", "disk"),
        (32768, "bslz4", "disk"),
    ]
    keys = {"frames_per_s", "limit_frames_per_s", "ratio", "cpu_s", "peak_rss_mb"}
    assert all(keys <= case.keys() and case["ratio"] > 0 for case in cases)
