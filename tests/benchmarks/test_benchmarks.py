"""Each benchmark runs and prints what it promises; its figures are judged by people, not here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.shim import compiler

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


def run(name: str, *options: object) -> Any:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--json", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_recorder_is_compared_with_the_limits_of_the_machine(tmp_path):
    cases = ["32KiB", "32KiB-bslz4", "8MiB"]
    options = ["--rounds", 1, "--megabytes", 16, "--disk", tmp_path, "--targets", "disk", "--cases", *cases]
    small, packed, large = measured = run("recorder", *options)["cases"]
    assert [case["case"] for case in measured] == cases
    assert [case["compression"] for case in measured] == ["none", "bslz4", "none"]
    # Compressed frames are as large as the others where it counts: on their way.
    assert packed["frame_bytes"] == pytest.approx(small["frame_bytes"], rel=0.05)
    assert packed["frame_bytes"] < packed["pixel_bytes"]
    assert small["frame_bytes"] == small["pixel_bytes"]
    keys = {"frames_per_s", "limit_frames_per_s", "ratio", "target_ratio", "cpu_s", "peak_rss_mb"}
    assert all(keys <= case.keys() and case["ratio"] > 0 for case in measured)
    assert {"durable_mb_per_s", "limit_durable_mb_per_s", "durable_ratio"} <= large.keys() - small.keys()


def test_a_live_consumer_costs_no_frame(tmp_path):
    report = run("live_impact", "--rounds", 1, "--megabytes", 16, "--folder", tmp_path)
    assert report["frames_lost"] == 0
    rates = ("rate_alone", "rate_with_stalled", "ratio", "ratio_with_numbers")
    assert min(report[key] for key in rates) > 0


@pytest.mark.long
def test_latencies_are_measured(tmp_path):
    report = run("latency", "--rounds", 1, "--folder", tmp_path)
    keys = ("first_frame_readable_ms", "close_ms", "close_forced_ms", "arm_ms")
    assert all(report[key] > 0 for key in keys)


@pytest.mark.long
@pytest.mark.skipif(compiler() is None, reason="no C compiler here to build the fault shim with")
def test_memory_of_a_recorder_that_cannot_keep_up_is_measured(tmp_path):
    report = run("memory", "--frames", 500, "--series", 25, "--folder", tmp_path)
    assert report["frames_lost"] == 0
    assert report["descriptors_per_series"] == 0
    # The budget is tried by the whole run only: these are 16 MiB of frames.
    assert 0 < report["peak_rss_mb"] < report["budget_mb"] + 200


@pytest.mark.long
def test_a_stream_of_dectris_is_compared_with_a_bare_relay(tmp_path):
    report = run("dectris", "--rounds", 1, "--seconds", 0.3, "--rate", 100, "--frames", 10, "--folder", tmp_path)
    assert report["frames_lost"] == 0
    assert 0 < report["ratio"] < 2
    keys = ("acquirer_cpu_ms_per_image", "frames_per_s", "limit_frames_per_s", "got_frames_per_s", "image_bytes")
    assert all(report[key] > 0 for key in keys)


def test_points_are_compared_with_those_of_other_simulated_detectors_and_the_lag_of_a_fast_series_is_measured(tmp_path):
    options = ["--rounds", 1, "--points", 4, "--frames", 300, "--without", "writer"]
    report = run("bluesky_overhead", *options, "--folder", tmp_path)
    assert min(report[f"{name}_ms_per_point"] for name in ("stins", "ophyd_sim", "ophyd_async")) > 0
    assert report["excess_ms"] == pytest.approx(
        report["stins_ms_per_point"] - report["ophyd_sim_ms_per_point"], abs=0.02
    )
    assert report["fly_frames"] == 300
    assert 0 < report["fly_lag_median_s"] <= report["fly_lag_max_s"]
    assert report["fly_rate"] > 0
