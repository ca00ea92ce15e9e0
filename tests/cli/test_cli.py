"""The command `stins` itself."""

import subprocess
import sys

import pytest


def test_without_a_command_it_lists_them_and_says_where_to_start(stins):
    done = stins()
    assert done.returncode == 2
    assert "stins demo" in done.stdout


@pytest.mark.parametrize("command", ["demo", "up", "status", "check", "acquirer", "recorder"])
def test_each_command_has_help_with_an_example(stins, command):
    done = stins(command, "--help")
    assert done.returncode == 0
    assert f"usage: stins {command}" in done.stdout
    assert "example" in done.stdout


def test_an_unknown_command_is_refused_with_the_known_ones(stins):
    done = stins("demmo")
    assert done.returncode == 2
    assert "no command 'demmo'; there are: demo, up, status" in done.stderr


def test_a_wrong_option_is_a_usage_error(stins):
    assert stins("demo", "--framez", "3").returncode == 2


def test_it_says_its_version(stins):
    assert stins("--version").stdout.startswith("stins-ophyd 0.")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--frames", "0"], "--frames: got 0, expected at least 1"),
        (["--folder", "."], "--folder: "),
        (["--folder", "/proc/x"], "/proc/x cannot be made"),
    ],
)
def test_the_demo_refuses_what_it_cannot_do_before_it_starts_anything(stins, options, said):
    done = stins("demo", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("modules", "unused"),
    [
        ("stins_ophyd.cli.demo, stins_recorder.writer.writer", {"bluesky", "matplotlib", "pydantic", "yaml"}),
        ("stins_acquirers.cli, stins_acquirers.simulated, stins_acquirers.dectris", {"h5py", "httpx", "matplotlib"}),
    ],
)
def test_a_process_does_not_begin_with_libraries_that_it_may_never_use(modules, unused):
    """The demo, before its options are checked; a writer, which comes again when one dies; an acquirer."""
    code = f"import sys, {modules}; print({unused} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
