"""`stins recorder` as it runs: control, status, live view, a reader beside the writer."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
import zmq
from recorder_kit import DATA, NUMBERS, SHAPE, Chain, compressed, image, wait_until
from stins_recorder.cli import main as recorder

from stins import Part, RemoteError
from stins.control import PrepareRequest, RecorderState, RecorderStatus, SeriesState, StopRequest
from stins.daemon import ConfigError
from stins.transport import Publisher


def test_a_series_is_prepared_recorded_and_accounted_for(chain: Chain) -> None:
    client = chain.recorder.client
    status = client.post("/prepare", PrepareRequest(series_id="p1", filename="p/1.h5", frames_expected=5))
    assert (status.state, status.prepared) == (RecorderState.READY, "p1")
    assert (status.root, status.roots) == (str(chain.root), (str(chain.root),))
    chain.start("p/1.h5", id="p1", frames_expected=5)
    chain.frames(*range(5))
    assert chain.flushed(5).state is RecorderState.RECORDING
    chain.end()
    account = chain.recorder.wait_for_end("p1")
    assert (account.state, account.written) == (SeriesState.COMPLETE, 5)
    chain.recorder.wait_for(lambda s: s.state is RecorderState.IDLE)
    with h5py.File(chain.root / "p/1.h5") as file:
        np.testing.assert_array_equal(file[DATA], [image(n) for n in range(5)])


def test_a_path_that_leaves_its_root_is_refused_at_prepare(chain: Chain) -> None:
    before = sorted(chain.root.parent.rglob("*"))
    with pytest.raises(RemoteError, match=r"recorder: prepare failed at http://.*'\.\.' could leave the root"):
        chain.recorder.client.post("/prepare", PrepareRequest(series_id="x", filename="../x.h5"))
    assert sorted(chain.root.parent.rglob("*")) == before


def test_a_series_on_a_bad_path_is_a_fault_until_it_is_reset(chain: Chain) -> None:
    chain.series("../x.h5", range(3), id="bad", frames_expected=3)
    account = chain.recorder.wait_for_end("bad")
    assert (account.state, account.written) == (SeriesState.FAILED, 0)
    status = chain.recorder.wait_for(lambda s: s.state is RecorderState.FAULT)
    assert "'..' could leave the root" in status.reason
    assert chain.recorder.client.post("/reset").state is RecorderState.IDLE


def test_another_process_reads_finished_frames_while_the_series_runs(chain: Chain) -> None:
    bslz4 = Part(name="image", shape=SHAPE, dtype="uint16", compression="bslz4")
    chain.start("swmr.h5", id="swmr")
    for number in range(3):
        chain.frame(number, compressed(number, hdf5plugin.Bitshuffle()), data=(bslz4,))
    rows = chain.flushed(3).series
    assert rows is not None
    script = (
        "import h5py, hdf5plugin, sys, json\n"
        "with h5py.File(sys.argv[1], 'r', libver='latest', swmr=True) as f:\n"
        f"    print(json.dumps([f['{DATA}'][:3].tolist(), f['{NUMBERS}'][:3].tolist(), 'end_time' in f['entry']]))\n"
    )
    reader = subprocess.run(
        [sys.executable, "-c", script, str(chain.root / "swmr.h5")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    frames, numbers, has_end = json.loads(reader.stdout)
    np.testing.assert_array_equal(frames, [image(n) for n in range(3)])
    assert (numbers, has_end) == ([0, 1, 2], False)
    chain.end()
    assert chain.recorder.wait_for_end("swmr").state is SeriesState.COMPLETE


def test_a_lost_message_leaves_the_series_incomplete(chain: Chain) -> None:
    chain.start("lost.h5", id="lost", frames_expected=5)
    chain.frames(0, 1)
    chain.lose(2)
    chain.frames(3, 4)
    chain.end()
    account = chain.recorder.wait_for_end("lost")
    assert (account.state, account.missing_frames) == (SeriesState.INCOMPLETE, ((2, 2),))
    assert " did not come" in account.reason


def previews(number: int) -> Callable[[RecorderStatus], object]:
    return lambda status: status.preview and status.preview.frame_number == number


def test_a_step_scan_sees_each_frame_at_once_with_its_preview(chain: Chain) -> None:
    chain.start("steps.h5", id="steps")
    for number in range(3):
        chain.frame(number)
        chain.flushed(number + 1)
        status = chain.recorder.wait_for(previews(number))
        assert status.preview is not None
        assert (status.preview.row, status.preview.total) == (number, float(image(number).sum()))
    chain.end()
    chain.recorder.wait_for_end("steps")


def test_the_stream_is_published_again_untouched(chain: Chain) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as viewer:
        viewer.linger = 0
        viewer.subscribe(b"")
        viewer.connect(str(chain.recorder.live))
        chain.start(None, id="live")
        numbers = itertools.count()

        def seen() -> bool:
            # The subscription takes its time: frames are sent until one has come through.
            chain.frame(next(numbers))
            return bool(viewer.poll(20))

        wait_until(seen)
        # It may have come in time for the start, which has one part.
        while (parts := viewer.recv_multipart())[1:] == []:
            assert json.loads(parts[0])["message_type"] == "series-start"
            assert viewer.poll(30_000)
        header, payload = parts
        assert payload == image(json.loads(header)["frame_number"]).tobytes()
    chain.end()
    chain.recorder.wait_for_end("live")


def test_a_stop_on_request_ends_the_series_as_incomplete(chain: Chain) -> None:
    chain.start("stopped.h5", id="stopped")
    chain.frames(0, 1)
    chain.flushed(2)
    chain.recorder.client.post("/stop")
    account = chain.recorder.wait_for_end("stopped")
    assert (account.state, account.reason) == (SeriesState.INCOMPLETE, "stopped on request")
    chain.end()


def test_whoever_stops_a_series_may_say_why_in_its_file(chain: Chain) -> None:
    chain.start("reasoned.h5", id="reasoned")
    chain.frames(0, 1)
    chain.flushed(2)
    chain.recorder.client.post("/stop", StopRequest.because("its acquirer is gone: " + "x" * 2000))
    account = chain.recorder.wait_for_end("reasoned")
    assert account.reason == "stopped on request: its acquirer is gone: " + "x" * 978
    with h5py.File(account.file) as file:
        assert file["/entry/series/reason"].asstr()[()] == account.reason
    chain.end()


def test_a_message_that_is_no_stins_is_counted_and_the_series_goes_on(chain: Chain) -> None:
    chain.start("odd.h5", id="odd", frames_expected=2)
    chain.frame(0)
    chain.publisher.send([b"{not json"], 5)
    chain.publisher.send([b"\xff" * 100, b"", b"x"], 5)
    chain.frame(1)
    chain.end()
    account = chain.recorder.wait_for_end("odd")
    assert (account.state, account.written, account.refused) == (SeriesState.COMPLETE, 2, 2)


def test_a_newer_start_ends_the_open_series(chain: Chain) -> None:
    chain.start("first.h5", id="first")
    chain.frames(0, 1)
    chain.flushed(2)
    chain._sender = type(chain._sender)(first_message_id=10**6)
    chain.start("second.h5", id="second")
    chain.frames(0)
    chain.end()
    assert chain.recorder.wait_for_end("second").state is SeriesState.COMPLETE
    with h5py.File(chain.root / "first.h5") as file:
        assert file["/entry/series/outcome"].asstr()[()] == "incomplete"


def is_closed(path: Path) -> bool:
    try:
        with h5py.File(path) as file:
            return "end_time" in file["entry"]
    except OSError:
        return False


ALONE = """
import sys, json
from stins_recorder.cli import main
try:
    main(["--config", sys.argv[1]])
finally:
    strangers = {"ophyd", "bluesky", "tango", "tiled", "event_model", "stins_ophyd", "stins_acquirers"}
    print(json.dumps(sorted(strangers & set(sys.modules))), flush=True)
"""


def test_the_recorder_stands_alone(tmp_path: Path) -> None:
    publisher = Publisher("tcp://127.0.0.1:0")
    config = tmp_path / "r.yaml"
    config.write_text(json.dumps({"roots": [str(tmp_path / "data")], "sources": [publisher.endpoint]}))
    process = subprocess.Popen(
        [sys.executable, "-c", ALONE, str(config)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["kind"] == "recorder"
        sender = Chain.__new__(Chain)
        sender.publisher = publisher
        super(Chain, sender).__init__(sender._send)
        sender.start("alone.h5")
        sender.frames(0, 1)
        sender.end()
        wait_until(lambda: is_closed(tmp_path / "data/alone.h5"))
        process.terminate()
        assert json.loads(process.stdout.read()) == []
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        publisher.close(0)
    with h5py.File(tmp_path / "data/alone.h5") as file:
        np.testing.assert_array_equal(file[DATA], [image(0), image(1)])


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (
            {"roots": ["d"], "sources": ["tcp://127.0.0.1:1"], "http": {"host": "192.0.2.1"}},
            "set http.token_file as well",
        ),
        ({"roots": ["d"]}, "sources: missing"),
    ],
)
def test_a_recorder_that_cannot_start_says_why(tmp_path: Path, config: dict[str, object], error: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "stins.cli", "recorder", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert error in done.stderr
    assert "Traceback" not in done.stderr


def _checked(folder: Path, root: str) -> int:
    path = folder / "r.yaml"
    path.write_text(json.dumps({"roots": [str(folder / root)], "sources": ["tcp://127.0.0.1:1"]}))
    return recorder(["--config", str(path), "--check"])


def test_a_configuration_that_is_only_checked_makes_no_folder(tmp_path: Path) -> None:
    assert _checked(tmp_path, "not/there/yet") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]


@pytest.mark.parametrize("root", ["file", "file/below/it"])
def test_a_root_that_could_not_be_made_is_refused_by_a_check_as_well(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=rf"roots: {tmp_path}/{root} cannot be made or written.*; name a folder that"):
        _checked(tmp_path, root)
