"""Arming: the recorder is made ready first, then the acquirer is armed, and the file is open when that is done."""

from stins import Part, part_bytes
from stins.control import ArmRequest, FrameDescription, NumbersRequest, PrepareRequest, SeriesStatus

from .awaited import until_open
from .peers import Peers
from .remedies import Cause, Debt
from .snapshot import Snapshot

__all__ = ["arm"]


def arm(peers: Peers, request: ArmRequest, free: Snapshot, numbers: NumbersRequest | None) -> SeriesStatus:
    """Arms both, which are idle as `free` says; the recorder's account of the series.

    Raises:
        RemoteError: one of them refuses, or the series does not begin in time.
    """
    frame = free.acquirer.frame if free.acquirer else None
    prepare = PrepareRequest(
        series_id=request.series_id,
        filename=request.filename,
        frames_expected=request.frames_expected,
        frame_bytes=_frame_bytes(frame),
        numbers=numbers if request.filename else None,
    )
    peers.recorder.post("/prepare", prepare, timeout_s=peers.deadlines.command_s)
    peers.acquirer.post("/arm", request, timeout_s=peers.deadlines.arm_s)
    opened = peers.observer.wait(until_open(request.series_id, peers.deadlines.arm_s))
    account = opened.series(request.series_id)
    assert account is not None  # noqa: S101  # until_open says so
    if prepare.numbers is not None and account.numbers_state == "none":
        raise peers.observer.error("arm", Debt("recorder", "it computes no numbers of these frames", Cause.NO_NUMBERS))
    return account


def _frame_bytes(frame: FrameDescription | None) -> int | None:
    """Room that a frame takes in the file, where that is known: compressed ones differ, and take less."""
    if frame is None or frame.compression != "none":
        return None
    return (1 + len(frame.channels)) * part_bytes(Part(name="image", shape=frame.shape, dtype=frame.dtype))
