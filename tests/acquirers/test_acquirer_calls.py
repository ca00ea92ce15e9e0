"""Commands from other threads: run in the loop, never left without an answer."""

import threading
from collections.abc import Callable

import pytest
from stins_acquirers.calls import CallQueue

from stins import StinsError


def in_thread(run: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Runs it in a thread; the list gets its result or its error."""
    results: list[object] = []

    def work() -> None:
        try:
            results.append(run())
        except StinsError as error:
            results.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    return thread, results


def test_a_command_is_run_by_the_loop_and_answered() -> None:
    calls: CallQueue[str] = CallQueue("det", 5)
    thread, results = in_thread(lambda: calls.call("arm", lambda: None))
    call = calls.next(5)
    assert call is not None
    call.run()
    assert call.finish("armed")
    thread.join(5)
    assert results == ["armed"]


def test_a_command_that_nobody_runs_is_given_up_in_time_and_never_run_later() -> None:
    calls: CallQueue[str] = CallQueue("det", 0.01)
    with pytest.raises(StinsError, match=r"det: arm: not done within 0.01 s"):
        calls.call("arm", lambda: None)
    assert calls.next(0.0) is None


def test_a_command_that_is_known_to_take_long_has_longer() -> None:
    calls: CallQueue[str] = CallQueue("det", 0.01)
    with pytest.raises(StinsError, match=r"det: arm: not done within 0.02 s"):
        calls.call("arm", lambda: None, longer_s=0.01)


def test_the_loop_learns_that_nobody_waited_for_the_end_of_a_command() -> None:
    calls: CallQueue[str] = CallQueue("det", 1)
    thread, results = in_thread(lambda: calls.call("arm", lambda: None))
    begun = calls.next(5)
    assert begun is not None
    thread.join(30)
    assert results == ["det: arm: not done within 1 s"]
    assert not begun.finish("armed")


def test_nobody_waits_for_an_answer_once_the_loop_is_over() -> None:
    calls: CallQueue[str] = CallQueue("det", 60)
    thread, results = in_thread(lambda: calls.call("arm", lambda: None))
    calls.refuse_rest()
    thread.join(5)
    assert str(results[0]).startswith("det: arm: the acquirer")


def test_no_more_than_a_bounded_number_of_commands_waits() -> None:
    calls: CallQueue[str] = CallQueue("det", 60)
    refused = threading.Event()

    def call() -> None:
        try:
            calls.call("arm", lambda: None)
        except StinsError as error:
            if str(error) == "det: arm: 64 commands wait already":
                refused.set()

    threads = [in_thread(call)[0] for _ in range(65)]
    assert refused.wait(5)
    calls.refuse_rest()
    for thread in threads:
        thread.join(5)
