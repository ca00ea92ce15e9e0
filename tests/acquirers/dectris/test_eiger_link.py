"""The connection to the stream: made for each series, and let go of behind it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from stins_acquirers.backend import Ending, Frame, HardwareError
from stins_acquirers.bitshuffle import decode_part
from stins_acquirers.conformance import arm_request
from stins_acquirers.dectris import EigerBackend
from stins_acquirers.dectris.dcu import Dcu
from stins_acquirers.dectris.link import Link, MixedUpError, Sought
from stins_acquirers.dectris.plan import plan_of
from stins_acquirers.dectris.series import EigerSeries
from stins_acquirers.replay.capture import read_messages

from stins.control import TriggerRequest
from stins.transport import Receiver
from tests.acquirers.dectris.conftest import settings_for
from tests.acquirers.dectris.eiger_kit import DEADLINE_S, numbers, until_over
from tests.acquirers.dectris.messages_v2 import SERIES, start
from tests.acquirers.simulate_kit import RunningEiger, pulling, running_eiger

Make = Callable[..., EigerBackend]


def test_the_full_frame_comes_behind_a_region_of_interest_whose_messages_were_smaller(make: Make) -> None:
    # Mask and flat field of the full frame have 25.6 MB: more than 16 MiB, the least that is let pass.
    with running_eiger(shape="2000x1600", pool=1) as eiger:
        backend = make(eiger, roi_mode="lines", roi_y_size=8)
        backend.arm(arm_request())
        backend.abort()
        backend.configure({"roi_mode": "disabled", "roi_y_size": None})
        opening = backend.arm(arm_request())
        assert opening.header.data[0].shape == (2000, 1600)
        backend.close()


@pytest.mark.parametrize("ended", ["by itself", "disarmed", "aborted"])
def test_an_idle_acquirer_takes_no_message_of_another_client(make: Make, eiger2: RunningEiger, ended: str) -> None:
    backend = make()
    backend.arm(arm_request("software", frames=2, triggers=1 if ended == "by itself" else None))
    backend.trigger(TriggerRequest())
    if ended == "by itself":
        assert until_over(backend)[1] == Ending()
    elif ended == "disarmed":
        backend.disarm()
        while backend.read(0.0):
            pass
    else:
        backend.abort()
    eiger2.set(trigger_mode="ints", nimages=10, ntrigger=1)
    with pulling(eiger2.v2) as other:
        # Start, ten images, end. The first series may find the connection that was just closed.
        assert any(messages_of_a_series(eiger2, other) == 12 for _ in range(3))


def messages_of_a_series(eiger: RunningEiger, client: "zmq.Socket[bytes]") -> int:
    eiger.command("arm")
    eiger.command("trigger")
    count = 0
    while client.poll(1000):
        count += 1
        if b"end" in client.recv()[:20]:
            break
    return count


@contextmanager
def connected_to(endpoint: str) -> Iterator[Receiver]:
    """Another receiver of the same stream."""
    context: zmq.Context[Any] = zmq.Context()
    receiver = Receiver([endpoint], context=context, patience_s=0.05)
    deadline = time.monotonic() + DEADLINE_S
    try:
        while not receiver.connections:
            assert time.monotonic() < deadline
            receiver.watch_connections()
        yield receiver
    finally:
        receiver.close()
        context.destroy(linger=0)


def test_a_start_that_another_receiver_took_is_told_by_name_and_what_was_armed_is_ended(
    make: Make, eiger2: RunningEiger
) -> None:
    backend, said = make(answer_timeout_s=2.0), ""
    with connected_to(eiger2.v2) as other:
        # Messages go round, and a series of one image has three: the start of some series comes to the other receiver.
        deadline = time.monotonic() + DEADLINE_S
        while not said:
            assert time.monotonic() < deadline
            try:
                backend.arm(arm_request())
                backend.trigger(TriggerRequest())
                until_over(backend)
            except HardwareError as error:
                said = str(error)
        assert other.receive() is not None
    assert eiger2.state == "idle"
    assert "start did not come within 2 s; does another receiver take messages from this stream? Each" in said


def test_images_that_another_receiver_took_are_declared_and_it_is_told_by_name(
    make: Make, eiger2: RunningEiger
) -> None:
    backend = make()
    backend.arm(arm_request(frames=20))
    with connected_to(eiger2.v2) as other:
        backend.trigger(TriggerRequest())
        frames, ending = until_over(backend)
        assert other.receive() is not None
    lost = [number for frame in frames for first, last in frame.frames_dropped for number in range(first, last + 1)]
    assert lost
    assert sorted(lost + numbers(frames)) == list(range(frames[-1].number + 1))
    assert ending.status == "failed"
    assert "images did not come (the DCU's stream says that it dropped none): does another receiver" in ending.reason


def test_an_old_start_with_our_number_does_not_pass_for_ours_nor_for_another_clients() -> None:
    """Numbers begin anew when the detector is initialized."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as detector:
        detector.linger = 0
        link = Link("127.0.0.1", detector.bind_to_random_port("tcp://127.0.0.1"), "v2", 6000, 100)
        detector.send(start(user_data='{"armed": "then"}'))
        detector.send(start(user_data='{"armed": "now"}', beam_center_x=7.0))
        sought = Sought('{"armed": "now"}', SERIES["series_id"])
        _, opening = link.wait_for_start(sought, {}, DEADLINE_S)
        assert (opening.header.acquisition.beam_center_x, link.stale) == (7.0, 1)
        detector.send(start(user_data='{"armed": "then"}'))
        with pytest.raises(MixedUpError, match="series 3 came with that client's appendix, expected ours"):
            link.wait_for_start(sought, {}, 0.5)
        link.close()
        link.close()


def test_the_captured_stream_of_an_eiger1_is_taken_like_that_of_a_detector(
    eiger2: RunningEiger, captures: Path
) -> None:
    """The stream is the capture's; what stands for its DCU is idle already, as a real one is behind its last image."""
    messages = list(read_messages(captures / "eiger1-1M-stream-v1.zip"))
    settings = settings_for(eiger2, stream_version="v1")
    dcu = Dcu(settings)
    dcu.make_ready("test", settings)
    with zmq.Context() as context, context.socket(zmq.PUSH) as detector:
        detector.linger = 0
        port = detector.bind_to_random_port("tcp://127.0.0.1")
        link = Link("127.0.0.1", port, "v1", 2 * 1065 * 1030, 100)
        assert link.wait_connected(DEADLINE_S)
        for parts in messages:
            detector.send_multipart(parts)
        sought = Sought('{"filename": "", "rotate": 0}', None)
        identity, opening = link.wait_for_start(sought, {}, DEADLINE_S)
        plan = plan_of(arm_request("external", triggers=9), settings, None)
        series = EigerSeries(dcu, link, plan, identity, settings)
        frames: list[Frame] = []
        deadline = time.monotonic() + DEADLINE_S
        while not series.over():
            assert time.monotonic() < deadline
            frames += series.read(0.05)
        ending = series.ending()
        series.stop()
        link.close()
    dcu.close()
    assert opening.header.detector.description == "Dectris EIGER1 Si 1M"
    assert (numbers(frames), ending) == (list(range(9)), Ending())
    assert [bytes(frame.payload[0]) for frame in frames] == [parts[2] for parts in messages[1:]]
    assert decode_part(frames[0].parts[0], frames[0].payload[0]).shape == (1065, 1030)


def test_a_series_comes_whole_right_behind_one_that_was_aborted(make: Make) -> None:
    backend = make()
    for _ in range(5):
        backend.arm(arm_request(frames=100))
        backend.trigger(TriggerRequest())
        backend.abort()
    backend.arm(arm_request(frames=3))
    backend.trigger(TriggerRequest())
    frames, ending = until_over(backend)
    assert (numbers(frames), ending) == ([0, 1, 2], Ending())
