"""What a person sees of a detector at a glance, from values alone; and how fast a series is said to be."""

import msgspec
import pytest

from stins.control import AcquirerState, AcquirerStatus, RecorderState, RecorderStatus, SeriesState, SeriesStatus
from stins_ophyd.controller import CombinedState, Rate, Snapshot, Summary, summarize
from stins_ophyd.controller.last_heard import LastHeard


def series(written=100, missing=0, state=SeriesState.COMPLETE, **fields):
    values = {"series_id": "one", "file": "/data/a.nxs", "frames_expected": 100}
    return SeriesStatus(state=state, written=written, missing=missing, **{**values, **fields})


def snapshot(account=None, state=AcquirerState.IDLE, **fields):
    acquirer = AcquirerStatus(
        name="det", backend="simulated", state=state, boot_id="a", pid=1, series_id=account and account.series_id
    )
    recorder = RecorderStatus(name="rec", state=RecorderState.IDLE, boot_id="r", pid=2, series=account)
    return Snapshot(**{"state": CombinedState.IDLE, "acquirer": acquirer, "recorder": recorder, **fields})


def test_state_frames_rate_and_file_are_told():
    assert summarize(snapshot(series()), 98.765).text("det").splitlines() == [
        "det  IDLE",
        "  frames  100 of 100, none missing",
        "  rate    98.77 frames/s",
        "  file    /data/a.nxs (complete)",
    ]


def test_a_line_has_the_same():
    assert summarize(snapshot(series()), 98.0).line("Controller") == (
        "Controller IDLE; 100 of 100, none missing; 98 frames/s; /data/a.nxs (complete)"
    )


def test_a_detector_without_a_series_says_so():
    assert summarize(snapshot()).text("det") == "det  IDLE\n  frames  no series yet"


def test_missing_frames_stand_out_in_html():
    html = summarize(snapshot(series(98, 2, SeriesState.INCOMPLETE))).html("det")
    assert '<td style="color:#cf222e;font-weight:bold">98 of 100, 2 missing</td>' in html
    assert "color:#cf222e" not in summarize(snapshot(series())).html("det")


@pytest.mark.parametrize(
    ("account", "said"),
    [
        (series(98, 2, SeriesState.INCOMPLETE), "98 of 100, 2 missing"),
        (series(90, discarded=10), "90 of 100, none missing, 10 discarded"),
        (series(5, frames_expected=None, retaken=1), "5, none missing, 1 retaken"),
    ],
)
def test_frames_that_are_not_in_the_file_are_told_apart(account, said):
    assert Summary(state=CombinedState.IDLE, series=account).frames == said


def test_why_a_detector_lost_frames_is_told_below_their_number_and_stands_out():
    told = snapshot(series(98, 2, SeriesState.INCOMPLETE), reason="acquirer 'det' had to drop frames")
    why = "2 images did not come: nobody took them in time"
    losing = msgspec.structs.replace(told, acquirer=msgspec.structs.replace(told.acquirer, drop_reason=why))
    assert summarize(losing).text("det").splitlines() == [
        "det  IDLE",
        "  frames  98 of 100, 2 missing",
        f"  dropped {why}",
        "  file    /data/a.nxs (incomplete)",
        "  reason  acquirer 'det' had to drop frames",
    ]
    assert f'font-weight:bold">{why}</td>' in summarize(losing).html("det")
    assert "dropped" not in summarize(told).rows


def test_points_that_were_broken_off_are_not_called_whole_and_the_reason_is_told():
    summary = Summary(
        state=CombinedState.IDLE,
        series=series(
            10, state=SeriesState.INCOMPLETE, frames_expected=None, reason="aborted by the sender: on request"
        ),
    )
    assert summary.line("det") == (
        "det IDLE; 10, ended early; /data/a.nxs (incomplete); aborted by the sender: on request"
    )
    assert '<td style="color:#cf222e;font-weight:bold">10, ended early</td>' in summary.html("det")


def test_a_live_series_has_no_file():
    summary = Summary(state=CombinedState.IDLE, series=series(written=0, received=50, file=None, frames_expected=None))
    assert (summary.frames, summary.file) == ("50 received, none missing", "not recorded (complete)")


def test_a_process_that_is_gone_is_told_and_stands_out():
    gone = Snapshot(state=CombinedState.OFFLINE, culprit="recorder", reason="recorder: <gone>")
    assert summarize(gone).text("det") == "det  OFFLINE\n  frames  no series yet\n  reason  recorder: <gone>"
    assert 'font-weight:bold">recorder: &lt;gone&gt;</td>' in summarize(gone).html("det")


def unheard(account):
    """A snapshot whose recorder was heard with that account, and is not now."""
    heard = LastHeard()
    heard(snapshot(account))
    gone = Snapshot(state=CombinedState.OFFLINE, culprit="recorder", reason="recorder: gone")
    heard(gone)
    return summarize(gone, 50.0, heard.series)


@pytest.mark.parametrize(
    ("account", "frames"),
    [
        (series(48, state=SeriesState.OPEN), "48 of 100 when last heard"),
        (series(48, 2, SeriesState.OPEN), "48 of 100 when last heard, 2 missing"),
    ],
)
def test_of_a_recorder_that_is_gone_in_a_series_it_is_told_what_it_said_last(account, frames):
    assert list(unheard(account).rows.values()) == [
        frames, "50 frames/s", "/data/a.nxs (open when last heard)", "recorder: gone",
    ]  # fmt: skip


def test_a_series_that_was_over_before_its_recorder_went_is_told_as_it_is():
    assert unheard(series()).line("det") == (
        "det OFFLINE; 100 of 100, none missing; 50 frames/s; /data/a.nxs (complete); recorder: gone"
    )


class Clock:
    now = 10.0

    def __call__(self):
        return self.now


def test_the_rate_is_counted_from_the_first_frame_to_the_last_that_was_flushed():
    clock = Clock()
    rate = Rate(clock)
    for now, written, state in [
        (10.0, 0, AcquirerState.ARMED),  # however long it is armed
        (20.0, 0, AcquirerState.ACQUIRING),
        (21.0, 50, AcquirerState.ACQUIRING),
        (22.0, 100, AcquirerState.IDLE),
        (99.0, 100, AcquirerState.IDLE),  # and however long ago it was
    ]:
        clock.now = now
        rate(snapshot(series(written), state))
    assert rate.frames_per_s == 50.0


def test_the_rate_of_a_series_that_was_seen_late_is_that_of_what_was_seen():
    clock = Clock()
    rate = Rate(clock)
    rate(snapshot(series(5000), AcquirerState.ACQUIRING))
    clock.now = 12.0
    rate(snapshot(series(5200), AcquirerState.ACQUIRING))
    assert rate.frames_per_s == 100.0


def test_a_new_series_has_no_rate_yet():
    clock = Clock()
    rate = Rate(clock)
    rate(snapshot(series(0), AcquirerState.ACQUIRING))
    clock.now = 11.0
    rate(snapshot(series(10), AcquirerState.ACQUIRING))
    assert rate.frames_per_s == 10.0
    rate(snapshot(series(0, series_id="two"), AcquirerState.ARMED))
    assert rate.frames_per_s is None


def test_a_series_that_was_over_before_has_no_rate():
    rate = Rate()
    rate(snapshot(series()))
    assert rate.frames_per_s is None
