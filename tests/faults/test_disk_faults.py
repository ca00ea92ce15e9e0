"""The disk fails, for real, in the recorder's system calls: when a file is created, in mid-series, when it is closed.

Each time: FAULT with reason and remedy, every acked frame readable, the next series works, no crash.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import pytest
from faulty_chain import FaultyChain
from shim import Kind, Mode

from stins.control import RecorderState, SeriesState, SeriesStatus


@dataclass(frozen=True)
class Fault:
    """What fails, and what the recorder is to say of it."""

    kinds: Kind
    error: int
    says: str


FULL = Fault(Kind.WRITE | Kind.ALLOCATE, errno.ENOSPC, "no space is left; make room, or record below another root")
QUOTA = Fault(Kind.WRITE | Kind.ALLOCATE, errno.EDQUOT, "the quota is used up; make room, or record below another root")
BROKEN = Fault(Kind.WRITE, errno.EIO, "the disk reports an input/output error; look at the system log")
FORBIDDEN = Fault(Kind.OPEN, errno.EACCES, "permission denied; the recorder's user must be able to write there")
CLOSE = Fault(Kind.CLOSE, errno.EIO, "the disk reports an input/output error; look at the system log")
SYNC = Fault(Kind.SYNC, errno.EIO, "the disk reports an input/output error; look at the system log")

FAULTS = {"full": FULL, "quota": QUOTA, "broken": BROKEN}


def arm(faulty: FaultyChain, fault: Fault, *, for_ever: bool = True, named: str = "") -> None:
    faulty.page.arm(Mode.FAIL, faulty.bad, kinds=fault.kinds, error=fault.error, for_ever=for_ever, named=named)


def check_recovered(faulty: FaultyChain, name: str) -> None:
    """The next series works: on another root while the disk still fails, and here once it does not."""
    assert faulty.record("good", f"{name}-good").state is SeriesState.COMPLETE
    faulty.page.disarm()
    assert faulty.record("bad", f"{name}-again").state is SeriesState.COMPLETE
    status = faulty.serve(lambda s: s.state is RecorderState.IDLE)
    assert (status.reason, status.restarts) == ("", 0)


def check_kept(faulty: FaultyChain, name: str, account: SeriesStatus, frames: int) -> None:
    """The series failed, and at least so many frames, which were acked, are in its file."""
    assert account.state is SeriesState.FAILED
    assert account.written >= frames
    assert faulty.wrong_frames(faulty.bad / f"{name}.h5", account.written) == []


@pytest.mark.parametrize("kind", [*FAULTS, "forbidden"])
def test_a_file_that_cannot_be_created_is_a_fault_with_its_remedy(faulty: FaultyChain, kind: str) -> None:
    fault, name = FAULTS.get(kind, FORBIDDEN), f"create-{kind}"
    arm(faulty, fault)
    faulty.begin(name, frames_expected=3)
    reason = faulty.faulted().reason
    assert f"{name}.h5: {fault.says}" in reason
    faulty.frames(0, 1, 2)
    faulty.end()
    account = faulty.serve_to_end()
    assert (account.state, account.written, account.missing) == (SeriesState.FAILED, 0, 3)
    check_recovered(faulty, name)


@pytest.mark.parametrize("kind", [*FAULTS, "sync"])
def test_a_disk_that_fails_in_mid_series_keeps_every_acked_frame(faulty: FaultyChain, kind: str) -> None:
    fault, name = FAULTS.get(kind, SYNC), f"mid-{kind}"
    faulty.begin(name, 10, frames_expected=30)
    arm(faulty, fault)
    faulty.frames(*range(10, 30))
    assert f"{name}.h5: {fault.says}" in faulty.faulted().reason
    faulty.end()
    check_kept(faulty, name, faulty.serve_to_end(), 10)
    check_recovered(faulty, name)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_disk_that_fails_once_in_mid_series_leaves_a_file_with_its_account(faulty: FaultyChain, kind: str) -> None:
    fault, name = FAULTS[kind], f"once-{kind}"
    faulty.begin(name, 10, frames_expected=30)
    arm(faulty, fault, for_ever=False, named=".h5")
    faulty.frames(*range(10, 30))
    assert f"{name}.h5: {fault.says}" in faulty.faulted().reason
    faulty.end()
    check_kept(faulty, name, faulty.serve_to_end(), 10)
    check_recovered(faulty, name)


@pytest.mark.parametrize("kind", [*FAULTS, "close", "sync"])
def test_a_file_that_cannot_be_closed_is_a_fault_and_every_frame_is_there(faulty: FaultyChain, kind: str) -> None:
    fault, name = (FAULTS | {"close": CLOSE, "sync": SYNC})[kind], f"close-{kind}"
    faulty.begin(name, 10, frames_expected=10)
    arm(faulty, fault, named=".h5")
    faulty.end()
    assert f"{name}.h5: {fault.says}" in faulty.faulted().reason
    check_kept(faulty, name, faulty.serve_to_end(), 10)
    check_recovered(faulty, name)


def test_the_journal_is_forced_to_the_disk_with_the_frames_it_speaks_of_and_stops_no_series_if_it_fails(
    faulty: FaultyChain,
) -> None:
    arm(faulty, SYNC, named=".journal")
    faulty.begin("beside", 5, frames_expected=10)
    faulty.serve(lambda _: faulty.page.struck)
    faulty.frames(*range(5, 10))
    faulty.end()
    assert faulty.serve_to_end().state is SeriesState.COMPLETE


def test_a_file_that_could_not_be_forced_to_the_disk_once_does_not_say_later_that_it_is_complete(
    faulty: FaultyChain,
) -> None:
    faulty.begin("synced", 10, frames_expected=10)
    arm(faulty, SYNC, for_ever=False, named="synced.h5")
    faulty.end()
    account = faulty.serve_to_end()
    assert account.state is SeriesState.FAILED
    path = faulty.bad / "synced.h5"
    faulty.serve(lambda s: any(note.startswith(f"{path}: salvaged") for note in s.notes))
    with h5py.File(path) as file:
        series = file["entry/series"]
        assert (series["outcome"].asstr()[()], series["reason"].asstr()[()]) == (account.state.value, account.reason)
    check_kept(faulty, "synced", account, 10)
    check_recovered(faulty, "synced")


@pytest.fixture(scope="module")
def impatient(shim: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyChain]:
    """A recorder that takes a call for hanging after half a second, as a slow one of another test must not be."""
    chain = FaultyChain(tmp_path_factory.mktemp("impatient"), shim, call_limit_s=0.5)
    yield chain
    chain.page.disarm()
    assert chain.close() == 0, chain.recorder.log


def test_a_write_that_hangs_is_reported_while_it_hangs_and_the_series_goes_on_when_it_returns(
    impatient: FaultyChain,
) -> None:
    impatient.begin("hangs", 5, frames_expected=20)
    impatient.page.arm(Mode.HANG, impatient.bad, kinds=Kind.WRITE, hang_s=60, named=".h5")
    impatient.frames(*range(5, 20))
    status = impatient.serve(lambda s: s.step in ("write", "flush"))
    assert f"the writer has been in {status.step} for" in status.reason
    impatient.page.disarm()
    impatient.end()
    assert impatient.serve_to_end().state is SeriesState.COMPLETE
    assert impatient.wrong_frames(impatient.bad / "hangs.h5", 20) == []


def test_what_is_done_beside_the_writing_is_reported_too_while_it_hangs(impatient: FaultyChain) -> None:
    def hang(kinds: Kind, named: str) -> None:
        impatient.page.disarm()
        impatient.serve(lambda s: not s.step)
        impatient.page.arm(Mode.HANG, impatient.bad, kinds=kinds, hang_s=60, named=named)

    hang(Kind.ALLOCATE, ".reserve")
    impatient.begin("beside", frames_expected=20)
    impatient.serve(lambda s: s.step == "room")
    hang(Kind.WRITE, ".journal")
    impatient.frames(*range(5))
    impatient.serve(lambda s: s.step == "journal")
    hang(Kind.SYNC, ".h5")
    impatient.frames(*range(5, 10))
    status = impatient.serve(lambda s: s.step == "sync")
    assert "the disk has been asked to sync for" in status.reason
    impatient.frames(*range(10, 20))
    status = impatient.flushed(20)
    assert (status.state, status.series.durable < 20) == (RecorderState.RECORDING, True)
    impatient.end()
    # Whoever closes the file waits for the sync.
    impatient.serve(lambda s: s.step == "close")
    impatient.page.disarm()
    assert impatient.serve_to_end().state is SeriesState.COMPLETE
    status = impatient.serve(lambda s: s.state is RecorderState.IDLE and not s.step)
    assert (status.reason, status.restarts) == ("", 0)
