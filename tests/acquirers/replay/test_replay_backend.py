"""Captures as detectors: the real ones, and small ones written here."""

import io
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import cbor2
import h5py
import hdf5plugin
import msgspec
import numpy as np
import pytest
from stins_acquirers.backend import Backend, BackendError, Ending
from stins_acquirers.conformance import BackendConformance, arm_request, read_frames
from stins_acquirers.replay import ReplayBackend, ReplaySettings
from stins_acquirers.replay.capture import read_messages

from stins import Part, SeriesHeader, SeriesInfo, SeriesSender, encode
from stins.control import AcquirerState, FrameDescription, TriggerRequest
from stins.stream1 import to_stream1
from tests.acquirers.dectris import messages_v2

EIGER = "eiger1-1M-stream-v1.zip"
ELECTROMETER = "electrometer-stins-v1.cbors"


def replay(path: Path, **settings: Any) -> ReplayBackend:
    return ReplayBackend(ReplaySettings(capture=path, **{"pace": "fast", **settings}))


def whole_series(backend: ReplayBackend) -> tuple[Any, list[Any], Ending | None]:
    opening = backend.arm(arm_request())
    backend.trigger(TriggerRequest())
    return opening, read_frames(backend), backend.ending()


def stins_messages(frames: int = 4, period_s: float = 0.01) -> list[list[bytes]]:
    sender = SeriesSender()
    part = Part(name="image", shape=(2, 3), dtype="uint16")
    info = SeriesInfo(id="then", filename="old.h5", frames_expected=frames)
    messages = [[encode(sender.start(SeriesHeader(series=info, data=(part,))))]]
    for number in range(frames):
        pixels = np.arange(6, dtype="<u2") + number
        message = sender.data(number, data=(part,), timestamp=period_s * number)
        messages.append([encode(message), pixels.tobytes()])
    return [*messages, [encode(sender.end())]]


def write(path: Path, messages: Sequence[Sequence[bytes]]) -> Path:
    path.write_bytes(b"".join(cbor2.dumps(list(parts)) for parts in messages))
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tmp_path / "small.cbors", stins_messages())


class TestReplayOfAnImageStream(BackendConformance):
    bad_setting = {"rate_hz": -1}

    @pytest.fixture
    def backend(self, small: Path) -> Iterator[Backend]:
        backend = replay(small)
        yield backend
        backend.close()


class TestReplayOfNumbers(BackendConformance):
    bad_setting = {"pace": "slow"}

    @pytest.fixture
    def backend(self, captures: Path) -> Iterator[Backend]:
        backend = replay(captures / ELECTROMETER)
        yield backend
        backend.close()


@pytest.fixture(scope="module")
def short_eiger(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The opening of the EIGER's capture and its first three frames, unpacked."""
    with closing(read_messages(captures / EIGER)) as messages:
        return write(tmp_path_factory.mktemp("eiger") / "short.cbors", list(islice(messages, 4)))


class TestReplayOfAnEiger(BackendConformance):
    frames = 2
    bad_setting = {"capture": "/there/is/no/such.zip"}

    @pytest.fixture
    def backend(self, short_eiger: Path) -> Iterator[Backend]:
        backend = replay(short_eiger)
        yield backend
        backend.close()


def stream_v2(frames: int = 4, compression: str = "bslz4") -> list[list[bytes]]:
    """A series of stream v2, as a detector sends it."""
    image = [messages_v2.array(messages_v2.pixels() + number, compression) for number in range(frames)]
    shown = [messages_v2.image({"threshold_1": array}, number) for number, array in enumerate(image)]
    opening = messages_v2.start(number_of_images=frames)
    return [[message] for message in (opening, *shown, messages_v2.message("end"))]


class TestReplayOfStreamV2(BackendConformance):
    bad_setting = {"pace": "slow"}

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        backend = replay(write(tmp_path / "v2.cbors", stream_v2()))
        yield backend
        backend.close()


# -- the captured EIGER -------------------------------------------------------------------------------


def test_the_eigers_frames_come_untouched_and_decode_as_hdf5_decodes_them(captures: Path) -> None:
    backend = replay(captures / EIGER)
    _, frames, _ = whole_series(backend)
    assert [frame.number for frame in frames] == list(range(9))
    for frame in frames:
        np.testing.assert_array_equal(np.load(io.BytesIO(backend.reference(frame.number))), by_hdf5(frame))
    backend.close()


def by_hdf5(frame: Any) -> Any:
    part = frame.parts[0]
    assert (part.name, part.shape, part.dtype, part.compression) == ("threshold_1", (1065, 1030), "uint32", "bslz4")
    with h5py.File("f", "w", driver="core", backing_store=False) as file:
        options = hdf5plugin.Bitshuffle(cname="lz4")
        dataset = file.create_dataset("d", part.shape, part.dtype, chunks=part.shape, compression=options)
        dataset.id.write_direct_chunk((0, 0), frame.payload[0])
        return dataset[...]


def test_the_eigers_configuration_stands_in_its_places_and_units(captures: Path) -> None:
    header = replay(captures / EIGER).arm(arm_request()).header
    detector, acquisition = header.detector, header.acquisition
    assert (detector.description, detector.vendor, detector.serial_number) == (
        "Dectris EIGER1 Si 1M",
        "DECTRIS",
        "E-02-0153",
    )
    assert (detector.sensor_material, detector.sensor_thickness, detector.x_pixel_size) == ("Si", 0.00045, 75e-6)
    assert (detector.saturation_value, detector.bit_depth_readout) == (2943293, 16)
    assert (acquisition.incident_energy, acquisition.threshold_energy) == (8000.0, (4000.0,))
    assert (acquisition.count_time, acquisition.frame_time) == (0.9999999, 1.0000029000000001)
    assert header.detector_specific["config"]["number_of_excluded_pixels"] == 38129
    assert header.detector_specific["header_appendix"] == {"filename": "", "rotate": 0}


def test_the_eigers_mask_flat_field_and_count_rate_table_come_along(captures: Path) -> None:
    opening = replay(captures / EIGER).arm(arm_request())
    arrays = ["flatfield", "pixel_mask", "countrate_correction_table"]
    assert [part.name for part in opening.header.data] == ["threshold_1", *arrays]
    flatfield, mask, raw_table = opening.payload
    assert int(np.count_nonzero(np.frombuffer(mask, "<u4"))) == 38129
    assert 0.1 < float(np.median(np.frombuffer(flatfield, "<f4"))) < 10
    table = np.frombuffer(raw_table, "<f4").reshape(opening.header.data[-1].shape)
    assert table.shape == (4000, 2)
    assert (np.diff(table[:, 0]) > 0).all()


def test_a_capture_without_its_end_ends_as_failed(captures: Path) -> None:
    backend = replay(captures / EIGER)
    opening, frames, ending = whole_series(backend)
    assert (opening.frames_expected, len(frames)) == (100_000, 9)
    assert ending == Ending(status="failed", reason="the capture ends without dseries_end-1.0")


def test_the_eigers_times_are_seconds_since_its_first_frame_and_the_raw_ones_stay(captures: Path) -> None:
    _, frames, _ = whole_series(replay(captures / EIGER))
    assert [round(frame.timestamp, 3) for frame in frames] == list(range(9))
    assert frames[0].detector_specific["start_time"] == 4843213806960
    assert frames[0].acquisition_timestamp is msgspec.UNSET


def test_software_triggers_take_the_captured_frames_one_by_one(captures: Path) -> None:
    backend = replay(captures / EIGER)
    opening = backend.arm(arm_request("software", frames=1, triggers=3))
    numbers = []
    for _ in range(3):
        backend.trigger(TriggerRequest())
        numbers += [frame.number for frame in read_frames(backend)]
    assert (opening.frames_expected, numbers, backend.ending()) == (msgspec.UNSET, [0, 1, 2], Ending())
    backend.close()


# -- the captured electrometer ------------------------------------------------------------------------


def test_the_electrometers_numbers_come_without_any_image(captures: Path) -> None:
    backend = replay(captures / ELECTROMETER)
    opening, frames, ending = whole_series(backend)
    assert (backend.describe(), opening.frames_expected, len(frames)) == (None, None, 4)
    assert sorted(frames[0].detector_specific) == ["channel1", "channel2", "channel3", "channel4"]
    assert frames[0].acquisition_timestamp == 1704807770443944912
    assert ending == Ending(detector_specific={"read_overflow": False, "memory_overflow": False})


def test_a_frame_without_an_image_has_no_reference(captures: Path) -> None:
    with pytest.raises(BackendError, match=r"frame 1 of .* has numbers only"):
        replay(captures / ELECTROMETER).reference(1)


# -- small captures -----------------------------------------------------------------------------------


def test_a_replay_keeps_what_the_captured_series_was_called(small: Path) -> None:
    header = replay(small).arm(arm_request()).header
    assert header.detector_specific["captured"]["series"] == {"id": "then", "filename": "old.h5", "frames_expected": 4}


def test_a_stream1_capture_is_replayed_too(tmp_path: Path) -> None:
    older = [[bytes(part) for part in to_stream1(message)] for message in stins_messages()]
    backend = replay(write(tmp_path / "older.cbors", older))
    _, frames, ending = whole_series(backend)
    assert ([frame.number for frame in frames], ending) == ([0, 1, 2, 3], Ending())
    assert backend.describe() == FrameDescription(shape=(2, 3), dtype="uint16", times=("timestamp",))


@pytest.mark.parametrize("compression", ["none", "lz4", "bslz4"])
def test_a_capture_of_stream_v2_is_replayed_too(tmp_path: Path, compression: str) -> None:
    backend = replay(write(tmp_path / "v2.cbors", stream_v2(compression=compression)))
    opening, frames, ending = whole_series(backend)
    assert (opening.frames_expected, opening.header.detector.serial_number) == (4, "E-32-0117")
    assert ([frame.number for frame in frames], ending) == ([0, 1, 2, 3], Ending())
    times = ("timestamp", "acquisition_timestamp")
    assert backend.describe() == FrameDescription(shape=(60, 100), dtype="uint16", compression=compression, times=times)
    np.testing.assert_array_equal(np.load(io.BytesIO(backend.reference(2))), messages_v2.pixels() + 2)


def test_a_capture_of_stream_v2_that_was_cut_short_ends_as_failed(tmp_path: Path) -> None:
    _, frames, ending = whole_series(replay(write(tmp_path / "v2.cbors", stream_v2()[:-1])))
    assert (len(frames), ending) == (4, Ending(status="failed", reason="the capture ends without an end message"))


def of_another_series(version: str) -> list[list[bytes]]:
    """The beginning of one series, then a message of another."""
    if version == "v2":
        return [*stream_v2()[:2], [messages_v2.message("end", series_id=4)]]
    header = {"htype": "dheader-1.0", "series": 3, "header_detail": "none"}
    messages: list[Any] = [header, {"htype": "dseries_end-1.0", "series": 4}]
    return [[msgspec.json.encode(message)] for message in messages]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_message_of_another_series_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(BackendError, match=r"series: got 4.*, expected 3.*, whose opening came last"):
        whole_series(replay(write(tmp_path / "two.cbors", of_another_series(version))))


def test_what_a_capture_says_of_lost_and_repeated_frames_reaches_the_receiver(
    tmp_path: Path, start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    sender = SeriesSender()
    messages = [[encode(sender.start(SeriesHeader(series=SeriesInfo(frames_expected=9))))]]
    messages += [[encode(sender.data(number))] for number in (0, 1, 2)]
    messages.append([encode(sender.data(1, retake=True))])
    sender.drop(2, 4)
    messages.append([encode(sender.data(5))])
    sender.drop(6, 8)
    messages.append([encode(sender.end())])
    det = start(replay(write(tmp_path / "lossy.cbors", messages)))
    consumer = consume(det.publisher.endpoint)
    det.service.arm(arm_request())
    det.service.trigger(TriggerRequest())
    result = consumer.series()[2].result
    assert (result.stored, result.retaken, result.missing) == (3, 2, ((2, 4), (6, 8)))
    assert "the sender dropped 6 of them" in result.reasons
    assert det.until_state(AcquirerState.IDLE).frames_dropped == 6


def test_references_are_read_from_the_capture_once_and_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "gone.cbors", stins_messages())
    backend = replay(path)
    read = {number: backend.reference(number) for number in (2, 0)}
    path.unlink()
    again = {number: backend.reference(number) for number in (0, 1, 2, 3)}
    assert {number: again[number] for number in read} == read
    assert len(set(again.values())) == 4


def test_a_capture_keeps_its_own_pace(small: Path) -> None:
    backend = replay(small, pace="original")
    backend.arm(arm_request())
    backend.trigger(TriggerRequest())
    reads = []
    while backend.ending() is None:
        reads.append(len(backend.read(0.5)))
    assert reads[:3] == [1, 1, 1]


def test_a_longer_pause_of_the_capture_is_cut(tmp_path: Path) -> None:
    backend = replay(write(tmp_path / "slow.cbors", stins_messages(4, 3600.0)), pace="original", longest_pause_s=0.02)
    assert backend.interval_s == 0.02
    began = time.monotonic()
    assert len(whole_series(backend)[1]) == 4
    assert time.monotonic() - began >= 0.06


def test_frames_may_be_as_far_apart_as_pace_and_rate_say(small: Path) -> None:
    assert replay(small, pace="original").interval_s == 10.0
    assert replay(small, pace="fast").interval_s == 0.0
    assert replay(small, pace="original", rate_hz=2.0).interval_s == 0.5


def test_a_rate_takes_the_place_of_the_pace(tmp_path: Path) -> None:
    path = write(tmp_path / "long.cbors", stins_messages(500))
    backend = replay(path, pace="original", rate_hz=100_000)
    assert len(whole_series(backend)[1]) == 500


@pytest.mark.parametrize("wrap", ["plain", "zip", "tagged"])
def test_every_form_of_a_capture_is_read(tmp_path: Path, wrap: str) -> None:
    path, messages = tmp_path / "capture", stins_messages()
    if wrap == "tagged":
        stream = [{"det": cbor2.CBORTag(42878, ["STINS", parts])} for parts in messages]
        values = [cbor2.CBORTag(42877, [number, content]) for number, content in enumerate(stream)]
        path.write_bytes(b"".join(cbor2.dumps(value) for value in values))
    else:
        write(path, messages)
    if wrap == "zip":
        with zipfile.ZipFile(tmp_path / "capture.zip", "w") as archive:
            archive.write(path, "capture.cbors")
        path = tmp_path / "capture.zip"
    assert len(whole_series(replay(path))[1]) == 4


@pytest.mark.parametrize("messages", [stins_messages(), stream_v2()], ids=["STINS", "stream v2"])
def test_messages_before_the_first_opening_are_passed_over(tmp_path: Path, messages: list[list[bytes]]) -> None:
    backend = replay(write(tmp_path / "late.cbors", [*messages[3:], *messages]))
    assert [frame.number for frame in whole_series(backend)[1]] == [0, 1, 2, 3]


def test_a_capture_that_is_cut_short_inside_a_message_ends_as_failed(tmp_path: Path, small: Path) -> None:
    short = tmp_path / "short.cbors"
    short.write_bytes(small.read_bytes()[:-5])
    _, frames, ending = whole_series(replay(short))
    assert (len(frames), ending) == (4, Ending(status="failed", reason="the capture ends without series-end"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no message in it opens a series"),
        (b"\xff\xff", "message 0: not CBOR"),
        (cbor2.dumps("text"), "message 0: got str, expected a list of byte strings"),
        (cbor2.dumps([b"no json"]), "got a message that begins with b'no json', expected JSON"),
    ],
    ids=["empty", "not CBOR", "no parts", "not JSON"],
)
def test_a_file_that_is_no_capture_is_refused_with_what_it_is(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "none.cbors"
    path.write_bytes(content)
    with pytest.raises(BackendError, match=problem):
        replay(path)


def test_the_eiger_goes_through_service_and_socket_as_it_was(
    captures: Path, start: Callable[..., Any], consume: Callable[..., Any]
) -> None:
    backend = replay(captures / EIGER)
    det = start(backend, hwm=1 << 20)
    consumer = consume(det.publisher.endpoint)
    det.service.arm(arm_request())
    det.service.trigger(TriggerRequest())
    _, frames, end = consumer.series()
    sent = list(backend._series.steps())[:-1]
    assert [bytes(frame.packet.payload[0]) for frame in frames] == [bytes(frame.payload[0]) for frame in sent]
    assert end.result.end.status == "failed"
    assert end.result.missing == ((9, 99_999),)
