"""What earlier sessions left is sent one by one, and what cannot be sent does not keep a session busy for ever."""

import os
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from stins_ophyd.catalog.leftovers import Leftovers
from stins_ophyd.catalog.recipient import Recipient
from stins_ophyd.catalog.spool import SpooledRun

HERE = Recipient("here", "/data/here")


class Away:
    """A catalogue that does not answer; it counts who is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getitem__(self, uid: str) -> None:
        self.asked.append(uid)
        raise ConnectionError("nobody answers")


def left(folder: Path, uids: str, recipient: Recipient = HERE) -> None:
    for age, uid in enumerate(uids):
        with closing(SpooledRun.new(folder, uid, recipient)) as run:
            run.append("start", {"uid": uid})
        os.utime(run.path, (age, age))


def send_all(leftovers: Leftovers) -> None:
    while leftovers.some:
        leftovers.send_one()


def test_a_catalogue_that_is_away_is_asked_for_three_and_for_more_only_once_it_took_something(tmp_path: Path) -> None:
    left(tmp_path, "abcde")
    leftovers = Leftovers(catalog := Away(), HERE, tmp_path)
    send_all(leftovers)
    send_all(leftovers)
    assert catalog.asked == list("abc")
    leftovers.again()
    send_all(leftovers)
    assert catalog.asked == list("abcabc")


def test_one_that_cannot_be_written_is_tried_three_times_and_complained_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left(tmp_path, "abcd")
    leftovers = Leftovers(catalog := Away(), HERE, tmp_path)
    for _ in range(8):
        send_all(leftovers)
        leftovers.again()
    assert Counter(catalog.asked) == dict.fromkeys("abcd", 3)
    assert [message.split(",")[0] for message in caplog.messages] == [f"catalogue: run {uid}" for uid in "abcd"]
    assert all("ConnectionError: nobody answers" in message for message in caplog.messages)


def test_what_is_for_another_catalogue_is_left_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left(tmp_path, "abcd", Recipient("there", "/data/there"))
    leftovers = Leftovers(catalog := Away(), HERE, tmp_path)
    send_all(leftovers)
    assert (catalog.asked, leftovers.failed) == ([], False)
    (message,) = caplog.messages
    assert "another catalogue, /data/there, and are left there" in message
    assert message.endswith(f"stins catalogue resend {tmp_path} --to /data/there")
    assert len(list(tmp_path.iterdir())) == 4


def test_a_run_of_a_session_that_goes_on_is_left_to_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(SpooledRun.new(tmp_path, "a", HERE)) as run:
        run.append("start", {"uid": "a"})
        leftovers = Leftovers(catalog := Away(), HERE, tmp_path)
        send_all(leftovers)
        assert (catalog.asked, caplog.messages, leftovers.failed) == ([], [], False)
