"""What every backend has to keep, as tests to subclass. Needs pytest, which only tests have.

class TestMyBackend(BackendConformance):
    bad_setting = {"exposure_s": -1}

    @pytest.fixture
    def backend(self):
        backend = MyBackend(MyBackend.Settings())
        yield backend
        backend.close()
"""

# ruff: noqa: S101  # these are tests

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from stins import UNSET, Decoder, Packet, SeriesSender, StinsError, encode
from stins.control import ArmRequest, TriggerMode, TriggerRequest
from stins.daemon.descriptions import descriptions
from stins.messages import is_series_array

from .backend import Backend, Frame, HasReference, KnowsAbsence, KnowsLosses, Opening
from .bitshuffle import decode_part

__all__ = ["BackendConformance", "arm_request", "read_frames"]

_DEADLINE_S = 20.0
_BY_COMMAND: tuple[TriggerMode, ...] = ("internal", "software")
#: How much longer than it was told a `read` may take on a busy machine, at the best of some tries.
_READ_S, _LATE_S, _TRIES = 0.05, 0.15, 3


def arm_request(trigger_mode: TriggerMode = "internal", frames: int = 1, triggers: int | None = 1) -> ArmRequest:
    """A request to arm a series of `frames` frames per trigger."""
    return ArmRequest(series_id="conformance", trigger_mode=trigger_mode, frames_per_trigger=frames, triggers=triggers)


def read_frames(backend: Backend) -> list[Frame]:
    """All frames of the present trigger; fails if they don't come in time."""
    frames: list[Frame] = []
    deadline = time.monotonic() + _DEADLINE_S
    while backend.triggered() and backend.ending() is None:
        assert time.monotonic() < deadline, f"got {len(frames)} frames within {_DEADLINE_S:g} s, expected more"
        frames += backend.read(0.1)
    return frames


class _Wire:
    """Makes messages of what a backend gives and reads them as a strict receiver."""

    def __init__(self) -> None:
        self._sender = SeriesSender()
        self._decoder = Decoder(strict=True)

    def opening(self, opening: Opening) -> Packet:
        return self._decoder.decode([encode(self._sender.start(opening.header)), *opening.payload])

    def frame(self, frame: Frame) -> Packet:
        message = self._sender.data(
            frame.number,
            frames=frame.count,
            data=frame.parts or UNSET,
            frame=frame.layout,
            timestamp=frame.timestamp,
            acquisition_timestamp=frame.acquisition_timestamp,
            discard=frame.discard,
            detector_specific=frame.detector_specific,
        )
        return self._decoder.decode([encode(message), *frame.payload])


class BackendConformance:
    """Give the fixture `backend` and the constants below."""

    #: How many frames a series of these tests has; a capture may have no more.
    frames: ClassVar[int] = 4
    #: Which modes the backend supports.
    trigger_modes: ClassVar[Sequence[TriggerMode]] = ("internal", "software")
    #: One setting with a value that has to be refused.
    bad_setting: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        """The backend under test; the one thing that a subclass must give."""
        raise NotImplementedError(f"{type(self).__name__} must define the fixture 'backend'")

    def _need(self, mode: TriggerMode) -> None:
        if mode not in self.trigger_modes:
            pytest.skip(f"no {mode} trigger")

    def _request(self) -> ArmRequest:
        """A series of `frames` frames after one trigger, in the first of the backend's own modes that a command
        triggers."""
        mode = next((mode for mode in self.trigger_modes if mode in _BY_COMMAND), None)
        if mode is None:
            pytest.skip(f"got trigger modes {', '.join(self.trigger_modes)}: no command triggers it")
        return arm_request(mode, self.frames)

    # -- settings -------------------------------------------------------------------------------

    def test_every_setting_is_described_and_every_real_number_has_its_unit(self, backend: Backend) -> None:
        fields = type(backend.settings).model_fields
        described = descriptions(type(backend.settings))
        undescribed = [name for name in fields if name not in described]
        reals = [name for name, field in fields.items() if float in (field.annotation, *get_args(field.annotation))]
        without_unit = [name for name in reals if "unit" not in _extra(fields[name].json_schema_extra)]
        assert (undescribed, without_unit) == ([], [])

    def test_an_unknown_setting_is_refused_by_name_and_changes_nothing(self, backend: Backend) -> None:
        before = backend.settings
        with pytest.raises(StinsError, match="no_such_setting"):
            backend.configure({"no_such_setting": 1})
        assert backend.settings == before

    def test_a_bad_value_is_refused_by_name_and_changes_nothing(self, backend: Backend) -> None:
        before = backend.settings
        if len(self.bad_setting) != 1:
            pytest.fail(f"{type(self).__name__}.bad_setting: got {self.bad_setting}, expected one name with its value")
        (name,) = self.bad_setting
        with pytest.raises(StinsError, match=name):
            backend.configure(self.bad_setting)
        assert backend.settings == before

    def test_configuring_nothing_changes_nothing(self, backend: Backend) -> None:
        before = backend.settings
        backend.configure({})
        assert backend.settings == before

    # -- arming ---------------------------------------------------------------------------------

    def test_a_strict_receiver_takes_the_opening(self, backend: Backend) -> None:
        opening = backend.arm(self._request())
        assert _Wire().opening(opening).moved == ()

    def test_a_trigger_mode_that_it_cannot_do_is_refused_by_name(self, backend: Backend) -> None:
        refused = next((mode for mode in get_args(TriggerMode) if mode not in self.trigger_modes), None)
        if refused is None:
            pytest.skip("it can do all modes")
        with pytest.raises(StinsError, match=f"trigger_mode: got '{refused}'"):
            backend.arm(arm_request(refused))

    def test_nothing_comes_before_the_first_trigger(self, backend: Backend) -> None:
        backend.arm(self._request())
        assert (list(backend.read(0.0)), backend.triggered(), backend.ending()) == ([], False, None)

    # -- frames ---------------------------------------------------------------------------------

    def test_frames_are_numbered_from_0_without_a_gap(self, backend: Backend) -> None:
        frames = self._series(backend)
        following = 0
        for frame in frames:
            assert frame.number == following
            following += frame.count
        assert following >= self.frames

    def test_a_strict_receiver_takes_every_frame(self, backend: Backend) -> None:
        wire = _Wire()
        wire.opening(backend.arm(self._request()))
        backend.trigger(TriggerRequest())
        assert {wire.frame(frame).moved for frame in read_frames(backend)} == {()}

    def test_frames_look_as_described(self, backend: Backend) -> None:
        described = backend.describe()
        for frame in self._series(backend):
            if described is None:
                assert frame.parts == ()
                continue
            shape = frame.layout.shape if frame.layout else frame.parts[0].shape
            looks = {(shape, part.dtype, part.compression) for part in frame.parts}
            assert looks == {(described.shape, described.dtype, described.compression)}
            assert all(getattr(frame, time) is not UNSET for time in described.times), "a time that was described"

    def test_the_opening_announces_the_parts_that_frames_have(self, backend: Backend) -> None:
        opening = backend.arm(self._request())
        if not opening.header.data:
            pytest.skip("it announces nothing")
        backend.trigger(TriggerRequest())
        announced = [(p.name, p.shape, p.dtype) for p in opening.header.data if not is_series_array(p.name)]
        assert [(p.name, p.shape, p.dtype) for p in read_frames(backend)[0].parts] == announced

    def test_times_go_forward(self, backend: Backend) -> None:
        frames = self._series(backend)
        for key in ("timestamp", "acquisition_timestamp"):
            times = [getattr(frame, key) for frame in frames if isinstance(getattr(frame, key), int | float)]
            assert times == sorted(times)

    def test_the_reference_is_a_frame_as_described(self, backend: Backend) -> None:
        described = backend.describe()
        if not isinstance(backend, HasReference) or described is None:
            pytest.skip("it has no reference")
        pixels = np.load(io.BytesIO(backend.reference(0)), allow_pickle=False)
        assert (pixels.shape, pixels.dtype.name) == (described.shape, described.dtype)

    def test_what_is_sent_is_the_reference(self, backend: Backend) -> None:
        if not isinstance(backend, HasReference) or backend.describe() is None:
            pytest.skip("it has no reference")
        for frame in self._series(backend)[: self.frames]:
            pixels = np.load(io.BytesIO(backend.reference(frame.number)), allow_pickle=False)
            np.testing.assert_array_equal(_pixels(frame), pixels, f"frame {frame.number}")

    def test_reading_takes_no_longer_than_it_is_told(self, backend: Backend) -> None:
        backend.arm(self._request())
        assert _shortest_read_s(backend) < _READ_S + _LATE_S
        backend.trigger(TriggerRequest())
        assert _shortest_read_s(backend) < _READ_S + _LATE_S

    def test_whether_it_can_wait_is_yes_or_no(self, backend: Backend) -> None:
        assert isinstance(backend.can_wait, bool), f"can_wait: got {backend.can_wait!r}, expected True or False"

    # -- what it knows beside its frames --------------------------------------------------------

    def test_of_a_series_without_a_loss_none_is_told_and_no_reason(self, backend: Backend) -> None:
        if not isinstance(backend, KnowsLosses):
            pytest.skip("it knows no more than its frames name")
        self._series(backend)
        assert (backend.lost(), backend.why_lost(quickly=True), backend.why_lost()) == ((), "", "")

    def test_hardware_that_is_there_is_not_said_to_be_absent(self, backend: Backend) -> None:
        if not isinstance(backend, KnowsAbsence):
            pytest.skip("it cannot be made without its hardware")
        assert backend.absent() == ""

    # -- triggers -------------------------------------------------------------------------------

    def test_a_software_trigger_gives_exactly_its_frames(self, backend: Backend) -> None:
        self._need("software")
        backend.arm(arm_request("software", frames=1, triggers=None))
        numbers = []
        for _ in range(2):
            backend.trigger(TriggerRequest())
            numbers.append([frame.number for frame in read_frames(backend)])
        assert numbers == [[0], [1]]

    def test_a_software_series_ends_with_its_last_trigger(self, backend: Backend) -> None:
        self._need("software")
        backend.arm(arm_request("software", frames=1, triggers=2))
        endings = []
        for _ in range(2):
            backend.trigger(TriggerRequest())
            read_frames(backend)
            endings.append(backend.ending() is not None)
        assert endings == [False, True]

    def test_frames_can_be_taken_again(self, backend: Backend) -> None:
        self._need("software")
        backend.arm(arm_request("software", frames=2, triggers=None))
        numbers = []
        for first_frame in (None, 1):
            backend.trigger(TriggerRequest(first_frame=first_frame))
            numbers.append([frame.number for frame in read_frames(backend)])
        assert numbers == [[0, 1], [1, 2]]

    # -- the end --------------------------------------------------------------------------------

    def test_an_internal_series_ends_by_itself(self, backend: Backend) -> None:
        self._need("internal")
        backend.arm(arm_request("internal", self.frames))
        backend.trigger(TriggerRequest())
        read_frames(backend)
        assert backend.ending() is not None

    def test_nothing_comes_after_disarming_twice(self, backend: Backend) -> None:
        backend.arm(self._request())
        backend.trigger(TriggerRequest())
        backend.disarm()
        backend.disarm()
        deadline = time.monotonic() + _DEADLINE_S
        while backend.read(0.0):
            assert time.monotonic() < deadline, f"frames still come {_DEADLINE_S:g} s after disarming"
        assert (list(backend.read(0.0)), backend.triggered()) == ([], False)

    def test_it_can_be_armed_again_after_disarming(self, backend: Backend) -> None:
        self._series(backend)
        backend.disarm()
        assert self._series(backend)[0].number == 0

    def test_closing_twice_does_no_harm(self, backend: Backend) -> None:
        backend.arm(self._request())
        backend.close()
        backend.close()

    def _series(self, backend: Backend) -> list[Frame]:
        backend.arm(self._request())
        backend.trigger(TriggerRequest())
        return read_frames(backend)


def _pixels(frame: Frame) -> NDArray[np.generic]:
    """The frame's parts, decoded without HDF5 and put where they belong."""
    decoded = [decode_part(part, payload) for part, payload in zip(frame.parts, frame.payload, strict=True)]
    if not frame.layout:
        return decoded[0]
    whole = np.zeros(frame.layout.shape, decoded[0].dtype)
    for part, pixels in zip(frame.parts, decoded, strict=True):
        place = (slice(at, at + side) for at, side in zip(part.offset or (), frame.layout.chunks, strict=True))
        whole[tuple(place)] = pixels.reshape(frame.layout.chunks)
    return whole


def _shortest_read_s(backend: Backend) -> float:
    """Of some tries: a busy machine makes one late, a backend that disregards its time-out makes all late."""
    took = []
    for _ in range(_TRIES):
        began = time.monotonic()
        backend.read(_READ_S)
        took.append(time.monotonic() - began)
    return min(took)


def _extra(extra: object) -> Mapping[str, Any]:
    return extra if isinstance(extra, dict) else {}
