"""Each failure that the documentation speaks of is made to happen."""

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from recorder_kit import DATA, Chain, image, wait_until

from stins import Part, RemoteError
from stins.control import PrepareRequest, RecorderState, SeriesState

BIG = Part(name="image", shape=(512, 512), dtype="uint16")
StartChain = Callable[..., Chain]


def writer_of(chain: Chain) -> psutil.Process:
    pid = chain.recorder.wait_for(lambda s: s.writer_pid).writer_pid
    assert pid is not None
    return psutil.Process(pid)


def has_ended(process: psutil.Process) -> bool:
    """Also one that nobody has waited for: who would have to is dead."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def frames_of(path: Path, count: int) -> "np.ndarray[object, np.dtype[np.uint16]]":
    """The first frames of a file, ended or not."""
    try:
        file = h5py.File(path, "r")
    except OSError:  # not closed: it is open for writing, or its writer has died
        file = h5py.File(path, "r", libver="latest", swmr=True)
    with file:
        values: np.ndarray[object, np.dtype[np.uint16]] = file[DATA][:count]
    return values


def test_a_writer_that_hangs_is_a_fault_within_its_deadline_and_none_when_it_answers_again(chain: Chain) -> None:
    writer = writer_of(chain)
    writer.suspend()
    try:
        with pytest.raises(RemoteError, match="stop: the writer did not answer within 5 s"):
            chain.recorder.client.post("/stop", timeout_s=60)
        status = chain.recorder.wait_for(lambda s: s.state is RecorderState.FAULT)
        assert "the writer has not answered for 3 s" in status.reason
    finally:
        writer.resume()
    assert chain.recorder.wait_for(lambda s: s.state is RecorderState.IDLE).reason == ""
    chain.series("after.h5", range(3), id="after")
    assert chain.recorder.wait_for_end("after").state is SeriesState.COMPLETE


def test_a_supervisor_that_hangs_does_not_stop_the_stream_and_one_that_is_killed_leaves_the_file_whole(
    start_chain: StartChain,
) -> None:
    chain = start_chain()
    writer, supervisor = writer_of(chain), chain.recorder.process
    chain.start("orphan.h5", id="orphan")
    chain.frame(0)
    chain.flushed(1)
    supervisor.send_signal(signal.SIGSTOP)
    # 2,000 frames with a flush each would fill the link many times.
    for number in range(1, 2000):
        chain.frame(number)
    path = chain.root / "orphan.h5"

    def all_there() -> bool:
        try:
            frames = frames_of(path, 2000)
        except OSError:  # opened while its writer made it longer; the next look finds it whole
            return False
        return len(frames) == 2000 and bool((frames[1999] == image(1999)).all())

    wait_until(all_there)
    supervisor.kill()
    wait_until(lambda: has_ended(writer))
    with h5py.File(path) as file:
        assert "end_time" not in file["entry"], "who starts the recorder again goes on with it"
        assert len(file[DATA]) == 2000


def test_sigterm_closes_the_file_as_incomplete(start_chain: StartChain) -> None:
    chain = start_chain()
    chain.start("ended.h5", id="ended", frames_expected=10)
    chain.frames(*range(4))
    chain.flushed(4)
    assert chain.close() == 0
    with h5py.File(chain.root / "ended.h5") as file:
        assert file["/entry/series/outcome"].asstr()[()] == "incomplete"
        assert "end_time" in file["entry"]
        np.testing.assert_array_equal(file[DATA], [image(n) for n in range(4)])


def test_a_sender_that_is_gone_ends_the_series_as_incomplete(start_chain: StartChain) -> None:
    chain = start_chain(sender_gone_s=0.5)
    chain.start("gone.h5", id="gone")
    chain.frames(0, 1)
    chain.flushed(2)
    chain.publisher.close(0)
    account = chain.recorder.wait_for_end("gone")
    assert (account.state, account.rows) == (SeriesState.INCOMPLETE, 2)
    assert f"the sender at {chain.publisher.endpoint} has been gone for" in account.reason


def test_a_folder_that_is_removed_under_the_writer_is_a_fault_and_the_next_series_works(chain: Chain) -> None:
    chain.start("day/a.h5", id="a")
    chain.frames(0, 1)
    chain.flushed(2)
    shutil.rmtree(chain.root / "day")
    chain.end()
    assert chain.recorder.wait_for_end("a").state is SeriesState.FAILED
    assert "the file or its folder is gone" in chain.recorder.wait_for(lambda s: s.state is RecorderState.FAULT).reason
    chain.series("day/b.h5", range(2), id="b")
    assert chain.recorder.wait_for_end("b").state is SeriesState.COMPLETE


# -- a full disk ----------------------------------------------------------------------------------

#: Everything in a mount namespace of its own: nothing is left mounted, whatever happens.
_MOUNT = (
    'for m in $1; do mkdir -p "${m%%=*}"; mount -t tmpfs -o "${m#*=}" none "${m%%=*}" || exit 9; done; shift; exec "$@"'
)


def mounted(**mounts: tuple[Path, str]) -> tuple[str, ...]:
    words = " ".join(f"{folder}={options}" for folder, options in mounts.values())
    return ("unshare", "-m", "sh", "-c", _MOUNT, "sh", words)


def seen_by(chain: Chain, path: Path) -> Path:
    """A path of the recorder's mount namespace."""
    return Path(f"/proc/{chain.recorder.process.pid}/root") / path.relative_to("/")


@pytest.fixture
def mounting(tmp_path: Path) -> None:
    trial = mounted(trial=(tmp_path / "trial", "size=1m"))
    if subprocess.run([*trial, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here (needs root, or a user namespace)")


def test_a_full_tmpfs_is_a_fault_keeps_what_was_flushed_and_the_next_series_works(
    start_chain: StartChain, tmp_path: Path, mounting: None
) -> None:
    small, good = tmp_path / "small", tmp_path / "good"
    chain = start_chain(wrapper=mounted(small=(small, "size=24m")), roots=[str(small), str(good)], reserve_bytes=0)
    chain.start("full.h5", id="full", data=(BIG,), frames_expected=100)
    for number in range(100):
        chain.frame(number, image(number, BIG.shape).tobytes(), data=(BIG,))
        if number == 29:  # so many are flushed, however fast the others fill the disk
            chain.recorder.wait_for(lambda s: s.series is not None and s.series.written == 30)
    status = chain.recorder.wait_for(lambda s: s.state is RecorderState.FAULT)
    assert "no space is left; make room, or record below another root" in status.reason
    chain.end()
    account = chain.recorder.wait_for_end("full")
    assert account.state is SeriesState.FAILED
    assert 30 <= account.written == account.rows < 48
    frames = frames_of(seen_by(chain, small / "full.h5"), account.rows)
    np.testing.assert_array_equal(frames, [image(n, BIG.shape) for n in range(account.rows)])
    with h5py.File(seen_by(chain, small / "full.h5")) as file:
        assert file["/entry/series/outcome"].asstr()[()] == "failed", "its end had its room"

    chain.series("good:next.h5", range(3), id="next")
    assert chain.recorder.wait_for_end("next").state is SeriesState.COMPLETE
    np.testing.assert_array_equal(frames_of(good / "next.h5", 3), [image(n) for n in range(3)])
    assert chain.close() == 0


def test_a_series_stops_before_the_reserve_is_used_up_and_its_file_is_whole(
    start_chain: StartChain, tmp_path: Path, mounting: None
) -> None:
    small, sealed = tmp_path / "small", tmp_path / "sealed"
    chain = start_chain(
        wrapper=mounted(small=(small, "size=24m"), sealed=(sealed, "size=1m")),
        roots=[str(small), str(sealed)],
        reserve_bytes=4 << 20,
    )
    # Sealed when it runs already: it does not start with a root that it cannot write.
    inside = ("nsenter", "--mount", f"--target={chain.recorder.process.pid}")
    subprocess.run([*inside, "mount", "-o", "remount,ro", str(sealed)], check=True)
    with pytest.raises(RemoteError, match=r"the recorder may not write into .*sealed"):
        chain.recorder.client.post("/prepare", PrepareRequest(series_id="x", filename="sealed:x.h5"))
    chain.start("tight.h5", id="tight", data=(BIG,), frames_expected=100)
    for number in range(100):
        chain.frame(number, image(number, BIG.shape).tobytes(), data=(BIG,))
    chain.end()
    account = chain.recorder.wait_for_end("tight")
    assert "free, expected 4.2 MB that every series leaves free (reserve_bytes)" in account.reason
    with h5py.File(seen_by(chain, small / "tight.h5")) as file:
        assert file["/entry/series/outcome"].asstr()[()] == "failed"
        assert len(file[DATA]) == account.written == account.rows
        np.testing.assert_array_equal(file[DATA], [image(n, BIG.shape) for n in range(account.rows)])
    assert seen_by(chain, small).exists()
