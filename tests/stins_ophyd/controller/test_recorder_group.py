"""What several recorders are when they are seen as one: functions of what each has said."""

from typing import Any

import msgspec
import pytest

from stins import Share
from stins.control import JoinRequest, PrepareRequest, Preview, RecorderState, RecorderStatus, SeriesState, SeriesStatus
from stins_ophyd.controller.fold import dealt, fold, silence
from stins_ophyd.controller.ledger import Ledger, Member, Shown, Standing

ORDER = PrepareRequest(series_id="s", filename="scan.h5", frames_expected=9)
WHY = "recorder 1: no heartbeat"
STATES = SeriesState


def status(index: int, state: RecorderState = RecorderState.IDLE, **values: Any) -> RecorderStatus:
    return RecorderStatus(
        name=f"r{index}", state=state, boot_id=f"b{index}", pid=index, roots=("/data",), root="/data", **values
    )


def series(index: int, state: SeriesState = SeriesState.OPEN, **counts: Any) -> SeriesStatus:
    share = Share(index=index, count=index + 1)
    return SeriesStatus(series_id="s", state=state, file=f"/data/scan_part{index}.h5", share=share, **counts)


def at(index: int, state: SeriesState = SeriesState.OPEN, **counts: Any) -> RecorderStatus:
    """A recorder with a part of the series."""
    at_it = state is SeriesState.OPEN
    return status(
        index, RecorderState.RECORDING if at_it else RecorderState.IDLE, series=series(index, state, **counts)
    )


def heard(*statuses: RecorderStatus, order: PrepareRequest | None = ORDER) -> Ledger:
    ledger = Ledger(members=tuple(Member() for _ in statuses))
    if order is not None:
        ledger = ledger.prepared(order)
    for index, each in enumerate(statuses):
        ledger = ledger.heard(index, among(each, len(statuses)))
    return ledger


def among(status: RecorderStatus, count: int) -> RecorderStatus:
    """As one of so many recorders."""
    if status.series is None or status.series.share is None:
        return status
    share = Share(index=status.series.share.index, count=count)
    return msgspec.structs.replace(status, series=msgspec.structs.replace(status.series, share=share))


# -- orders -------------------------------------------------------------------------------------


def test_each_recorder_is_told_its_share() -> None:
    assert [order.share for order in dealt(ORDER, 2)] == [Share(index=0, count=2), Share(index=1, count=2)]


# -- states -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        (["idle", "idle"], "idle"),
        (["ready", "idle"], "ready"),
        (["ready", "recording"], "recording"),
        (["recovering", "recording"], "recovering"),
        (["idle", "fault"], "fault"),
    ],
)
def test_the_state_of_all_is_that_of_the_one_that_is_furthest(states: list[str], whole: str) -> None:
    ledger = heard(*(status(index, RecorderState(state)) for index, state in enumerate(states)), order=None)
    assert fold(ledger).state is RecorderState(whole)


def test_what_is_told_of_all_is_common_to_them_or_added_up() -> None:
    one = status(0, free_bytes=7, sources=("a",), prepared="s", restarts=1)
    other = msgspec.structs.replace(status(1, free_bytes=5, sources=("b",), prepared="s"), roots=("/tmp", "/data"))
    whole = fold(heard(one, other))
    assert (whole.name, whole.boot_id, whole.sources) == ("r0, r1", "b0+b1", ("a", "b"))
    assert (whole.free_bytes, whole.prepared, whole.restarts) == (5, "s", 1)
    assert (whole.root, whole.roots) == ("/data", ("/data",))


def test_a_fault_says_whose_it_is() -> None:
    whole = fold(heard(at(0), status(1, RecorderState.FAULT, reason="the disk is full", series=series(1))))
    assert (whole.state, whole.reason) == (RecorderState.FAULT, "recorder 'r1': the disk is full")


def test_one_that_nobody_has_heard_makes_all_silent() -> None:
    ledger = heard(status(0), status(1)).silent(1, WHY)
    assert silence(ledger) == WHY
    assert silence(Ledger(members=(Member(), Member()))) == "nothing heard yet; nothing heard yet"


def test_one_that_falls_silent_in_a_series_is_waited_for_and_then_a_fault() -> None:
    ledger = heard(at(0), at(1), at(2)).silent(1, WHY)
    assert (silence(ledger), fold(ledger).state, fold(ledger).reason) == ("", RecorderState.RECOVERING, WHY)
    ledger = ledger.given_up(1)
    assert (silence(ledger), fold(ledger).state, fold(ledger).reason) == ("", RecorderState.FAULT, WHY)
    assert fold(ledger.heard(1, among(at(1), 3))).state is RecorderState.RECORDING


def test_one_that_was_restarted_and_lost_the_series_is_a_fault() -> None:
    ledger = heard(at(0), at(1)).heard(1, status(1))
    assert ledger.standings == (Standing.OPEN, Standing.LOST)
    assert fold(ledger).reason == "recorder 'r1' was restarted in the middle of the series, and lost it"
    assert ledger.heard(1, status(1, RecorderState.RECOVERING)).standings == (Standing.OPEN, Standing.OPEN)


def test_one_that_gets_the_frames_of_another_is_a_fault() -> None:
    crossed = heard(status(0, RecorderState.RECORDING, series=series(1)), at(1))
    assert fold(crossed).state is RecorderState.FAULT
    assert fold(crossed).reason.startswith("recorder 'r0' gets share 1 of 2, expected share 0 of 2; its `sources`")
    alone = msgspec.structs.replace(series(0), share=None)
    assert "gets all frames" in fold(heard(status(0, series=alone), at(1))).reason


# -- the account --------------------------------------------------------------------------------


def test_the_series_is_there_once_all_have_it() -> None:
    assert fold(heard(at(0), status(1, RecorderState.READY))).series is None
    whole = fold(heard(at(0), at(1)))
    assert whole.series is not None
    assert (whole.series.state, whole.series.file, whole.series.share) == (SeriesState.OPEN, "/data/scan.h5", None)


def test_rows_are_those_before_the_first_frame_that_is_not_there() -> None:
    counts = [{"rows": 3, "received": 3}, {"rows": 2, "received": 2}, {"rows": 3, "received": 4}]
    account = fold(heard(*(at(index, **each) for index, each in enumerate(counts)))).series
    assert account is not None
    # 0 1 2 3 4 5 6 - 8: frame 7 is not there
    assert (account.rows, account.received, account.frames_expected) == (7, 9, 9)


def test_discarded_frames_have_no_rows() -> None:
    account = fold(heard(at(0, rows=2, discarded=1), at(1, rows=3), at(2, rows=3))).series
    assert account is not None
    assert (account.rows, account.discarded) == (8, 1)


def test_missing_frames_are_merged_in_the_order_of_their_numbers() -> None:
    one, other = {"missing": 3, "missing_frames": ((0, 6),)}, {"missing": 2, "missing_frames": ((1, 1), (7, 7))}
    account = fold(heard(at(0, **one), at(1, **other), at(2))).series
    assert account is not None
    assert (account.missing, account.missing_frames) == (5, ((0, 1), (3, 3), (6, 7)))


def test_a_million_missing_frames_are_listed_by_the_first_hundred_ranges() -> None:
    account = fold(heard(at(0), at(1, missing=10**6, missing_frames=((1, 3 * 10**6),)), at(2))).series
    assert account is not None
    assert (len(account.missing_frames), account.missing) == (100, 10**6)


def test_the_previews_have_the_rows_of_the_whole() -> None:
    def with_preview(index: int, frame: int) -> RecorderStatus:
        preview = Preview(frame_number=frame, row=0, total=1.0, maximum=1.0, mean=1.0)
        return msgspec.structs.replace(at(index, discarded=1 if index == 0 else 0), preview=preview)

    whole = fold(heard(with_preview(0, 6), with_preview(1, 7), at(2)))
    assert [(preview.frame_number, preview.row) for preview in whole.previews] == [(6, 5), (7, 6)]
    assert whole.preview == whole.previews[1]


# -- the end ------------------------------------------------------------------------------------


def closed(*states: SeriesState) -> Ledger:
    return heard(*(at(index, state, rows=3) for index, state in enumerate(states)))


def test_a_series_that_all_have_closed_is_open_until_it_is_joined() -> None:
    ledger = closed(STATES.COMPLETE, STATES.COMPLETE, STATES.COMPLETE)
    request = JoinRequest(series_id="s", filename="scan.h5", count=3, frames_expected=9)
    assert ledger.to_join == request
    whole = fold(ledger)
    assert whole.series is not None
    assert (whole.state, whole.series.state) == (RecorderState.RECORDING, SeriesState.OPEN)

    trying = ledger.trying()
    assert trying.to_join is None
    account = SeriesStatus(series_id="s", state=SeriesState.COMPLETE, file="/data/scan.h5", rows=9)
    whole = fold(trying.tried(request, account, ""))
    assert (whole.state, whole.series) == (RecorderState.IDLE, account)


def test_why_the_sender_ended_a_series_is_kept_when_its_parts_are_joined() -> None:
    parts = [at(index, STATES.INCOMPLETE, reason="aborted by the sender: no beam", sender_reason="no beam")
             for index in range(3)]  # fmt: skip
    ledger = heard(*parts)
    unjoined = fold(ledger).series
    assert unjoined is not None
    assert (unjoined.state, unjoined.reason, unjoined.sender_reason) == (SeriesState.OPEN, "", "")
    joined = SeriesStatus(series_id="s", state=SeriesState.INCOMPLETE, reason="aborted by the sender: no beam")
    request = ledger.to_join
    assert request is not None
    whole = fold(ledger.trying().tried(request, joined, "")).series
    assert whole == msgspec.structs.replace(joined, sender_reason="no beam")


def test_nothing_is_joined_before_all_have_closed() -> None:
    assert closed(STATES.COMPLETE, STATES.OPEN, STATES.COMPLETE).to_join is None
    assert heard(at(0, STATES.COMPLETE), status(1, RecorderState.READY)).to_join is None
    assert closed(STATES.COMPLETE, STATES.OPEN).silent(1, WHY).to_join is None


def test_without_a_file_there_is_nothing_to_join() -> None:
    live = msgspec.structs.replace(ORDER, filename=None)
    ledger = heard(*(at(index, STATES.COMPLETE) for index in range(2)), order=live)
    whole = fold(ledger)
    assert whole.series is not None
    assert (ledger.to_join, whole.series.state, whole.state) == (None, SeriesState.COMPLETE, RecorderState.IDLE)


def test_one_that_is_gone_is_joined_without_and_again_when_it_is_back() -> None:
    ledger = closed(STATES.COMPLETE, STATES.OPEN).silent(1, WHY).given_up(1)
    request = ledger.to_join
    assert request is not None
    assert request.absent == (1,)
    joined = SeriesStatus(series_id="s", state=SeriesState.INCOMPLETE, missing=4)
    ledger = ledger.trying().tried(request, joined, "")
    assert (fold(ledger).state, fold(ledger).series, silence(ledger)) == (RecorderState.FAULT, joined, "")

    back = ledger.heard(1, among(at(1, STATES.COMPLETE), 2))
    again = back.to_join
    assert again is not None
    assert (again.absent, fold(back).series) == ((), joined)


def test_what_one_has_closed_stays_closed_when_it_goes() -> None:
    ledger = closed(STATES.COMPLETE, STATES.COMPLETE).silent(1, WHY)
    assert ledger.standings == (Standing.ENDED, Standing.ENDED)
    request = ledger.to_join
    assert request is not None
    assert request.absent == ()
    settled = ledger.trying().tried(request, SeriesStatus(series_id="s", state=SeriesState.COMPLETE), "")
    assert silence(settled) == WHY


def test_parts_that_cannot_be_joined_are_a_fault_until_somebody_knows() -> None:
    ledger = closed(STATES.COMPLETE, STATES.COMPLETE)
    request = ledger.to_join
    assert request is not None
    ledger = ledger.trying().tried(request, None, "no room")
    whole = fold(ledger)
    assert whole.series is not None
    assert (whole.state, whole.reason, whole.series.state) == (RecorderState.FAULT, "no room", SeriesState.FAILED)
    assert fold(ledger.forgiven()).state is RecorderState.IDLE
    assert ledger.forgiven().to_join is None


def test_an_answer_for_a_series_before_is_not_one_for_this() -> None:
    ledger = closed(STATES.COMPLETE, STATES.COMPLETE)
    request = ledger.to_join
    assert request is not None
    new = ledger.prepared(PrepareRequest(series_id="t", filename="t.h5"))
    assert new.tried(request, SeriesStatus(series_id="s", state=SeriesState.COMPLETE), "") == new


def test_an_observer_learns_of_the_joined_file_from_the_recorder_that_wrote_it() -> None:
    joined = SeriesStatus(series_id="s", state=SeriesState.COMPLETE, file="/data/scan.h5")
    one = msgspec.structs.replace(at(0, STATES.COMPLETE), joined=joined)
    assert fold(heard(one, at(1, STATES.COMPLETE), order=None)).series == joined


# -- what is shown of a series that runs ----------------------------------------------------------


def growing(*rows: int, **counts: Any) -> Ledger:
    parts = [at(index, rows=row, dataset="/d" if row else None, **counts) for index, row in enumerate(rows)]
    return heard(*parts)


def test_parts_are_shown_as_one_once_each_has_a_frame() -> None:
    assert growing(1, 0).to_show is None
    begun = growing(1, 1)
    assert begun.to_show == JoinRequest(series_id="s", filename="scan.h5", count=2, frames_expected=9)
    assert begun.showing(Shown.SHOWN).to_show is None


def test_what_is_shown_is_hidden_once_a_frame_is_discarded() -> None:
    assert growing(1, 1, discarded=1).to_show is None
    shown = growing(1, 1).showing(Shown.SHOWN)
    assert shown.to_hide is None
    discarding = shown.heard(1, among(at(1, rows=1, dataset="/d", discarded=1), 2))
    assert discarding.to_hide == JoinRequest(series_id="s", filename="scan.h5", count=2, frames_expected=9)
    assert discarding.showing(Shown.HIDDEN).to_hide is None
