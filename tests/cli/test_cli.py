"""The command `stins` itself."""

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
