"""Files made by the recorder's own classes, and what the checker finds in them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from stins_recorder.check.reader import FileReader
from stins_recorder.recording.recording import Recording

from stins import (
    Acquisition,
    Decoder,
    Detector,
    Part,
    SeriesHeader,
    SeriesInfo,
    SeriesReceiver,
    SeriesSender,
    encode,
)
from stins.findings import Finding
from stins.messages import Header, Payload
from stins.receiver import Instruction

SHAPE = (8, 12)
FRAMES = 5


def bslz4(frame: "np.ndarray[tuple[int, int], np.dtype[np.uint16]]") -> bytes:
    """The frame as HDF5's filter 32008 stores it: made by that filter."""
    import h5py
    import hdf5plugin

    with h5py.File.in_memory() as file:
        data = file.create_dataset("data", data=frame, chunks=frame.shape, **hdf5plugin.Bitshuffle())
        return bytes(data.id.read_direct_chunk((0, 0))[1])


class Recorder:
    """A recorder without process and socket: messages in, a file out."""

    def __init__(self, folder: Path, compression: str = "none", frames_per_file: int | None = None) -> None:
        self.path = folder / "scan_0001.h5"
        self.part = (Part(name="image", shape=SHAPE, dtype="uint16", compression=compression),)
        self.sender = SeriesSender()
        self._machine = SeriesReceiver()
        self._recording = Recording([folder], self._machine, reserve_bytes=0, frames_per_file=frames_per_file)
        self._decoder = Decoder()
        self._compression = compression

    def take(self, message: Header, *payload: Payload) -> None:
        packet = self._decoder.decode([encode(message), *payload])
        self._execute(self._machine.receive(packet, now=0.0))

    def start(self, **info: object) -> None:
        series = SeriesInfo(
            **{"id": "s1", "source": "sim", "filename": self.path.name, "frames_expected": FRAMES} | info
        )
        detector, acquisition = Detector(x_pixel_size=75e-6), Acquisition(count_time=0.1, incident_energy=8000.0)
        header = SeriesHeader(series=series, detector=detector, acquisition=acquisition, data=self.part)
        self.take(self.sender.start(header))

    def frame(self, number: int, **keys: object) -> None:
        pixels = np.full(SHAPE, number, "<u2")
        payload = bslz4(pixels) if self._compression == "bslz4" else pixels.tobytes()
        data = self.sender.data(number, data=self.part, timestamp=number * 0.1, detector_specific={"v": 1}, **keys)
        self.take(data, payload)

    def lose(self, number: int) -> None:
        """The sender drops a frame and says so with its next message."""
        self.sender.data(number, data=self.part)

    def end(self, **keys: object) -> None:
        self.take(self.sender.end(**keys))
        self.give_up_gaps()

    def give_up_gaps(self) -> None:
        self._execute(self._machine.tick(now=3600.0))  # whatever is missing has been waited for long enough

    def flush(self) -> None:
        self._recording.flush()

    def stop(self) -> None:
        self._execute(self._machine.stop("stopped by the test"))

    def _execute(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            self._recording.execute(instruction)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Records a whole series and gives its file."""

    def make_file(
        *, compression: str = "none", lost: Sequence[int] = (), frames_per_file: int | None = None, **info: object
    ) -> Path:
        recorder = Recorder(tmp_path, compression, frames_per_file)
        recorder.start(**info)
        for number in range(FRAMES):
            recorder.lose(number) if number in lost else recorder.frame(number)
        recorder.end()
        return recorder.path

    return make_file


def find(path: Path, *, decode: bool = False) -> list[Finding]:
    """What the rules find, in this process: the file is one that HDF5 survives."""
    lines: list[object] = []
    FileReader(path, lines.append, decode=decode).run()
    return [line for line in lines if isinstance(line, Finding)]


def rules_broken(path: Path, *, decode: bool = False) -> set[str]:
    return {finding.rule for finding in find(path, decode=decode)}


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """A recorder to be fed message by message."""
    return Recorder(tmp_path)


@pytest.fixture
def recorder_of_files(tmp_path: Path) -> Callable[[int], Recorder]:
    """The same, with so many frames in a data file."""
    return lambda frames_per_file: Recorder(tmp_path, frames_per_file=frames_per_file)


@pytest.fixture
def broken() -> Callable[..., set[str]]:
    """The names of the rules that a file breaks."""
    return rules_broken


@pytest.fixture
def found() -> Callable[..., list[Finding]]:
    """The findings in a file."""
    return find
