"""How exactly a thread wakes."""

import sys
import threading
from pathlib import Path

import pytest
from stins_acquirers.simulated.exact_sleep import sleep_exactly


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a thread sleep longer")
def test_only_the_thread_that_asks_wakes_when_it_is_to() -> None:
    slack: list[int] = []

    def ask() -> None:
        slack.append(_slack_ns())
        sleep_exactly()
        slack.append(_slack_ns())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    before, after = slack
    assert (after, _slack_ns()) == (1, before)


def _slack_ns() -> int:
    return int(Path(f"/proc/{threading.get_native_id()}/timerslack_ns").read_text())
