"""A disk that fills up in mid-scan: the run fails with the recorder's own words, remedy and all."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus

from stins.control import SeriesState
from stins_ophyd import Controller, DaemonProcess, StinsDetector, fly_series
from tests.recorder.recorder_kit import RecorderProcess
from tests.stins_ophyd.chain import QUICK, Documents, acquirer_config

_MOUNT = 'mkdir -p "$1"; mount -t tmpfs -o size=12m none "$1" || exit 9; shift; exec "$@"'


@pytest.fixture
def detector(tmp_path: Path) -> Iterator[StinsDetector]:
    """A detector whose recorder has room for some twenty frames, in a mount namespace of its own."""
    small = tmp_path / "small"
    wrapper = ("unshare", "-m", "sh", "-c", _MOUNT, "sh", str(small))
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here (needs root, or a user namespace)")
    config = acquirer_config()
    # A fly series of 18 frames lasts so long that the disk is full before it is over.
    config["settings"] |= {"shape": [512, 512], "exposure_s": 0.05, "period_s": 0.2}
    with DaemonProcess("acquirer", config, folder=tmp_path) as acquirer:
        recorder = RecorderProcess(
            tmp_path, wrapper, name="writer", roots=[str(small)], sources=[acquirer.ready.stream], reserve_bytes=0
        )
        try:
            with Controller(acquirer.ready.control, recorder.client.url, deadlines=QUICK) as controller:
                yield StinsDetector(name="det", controller=controller)
        finally:
            recorder.close()


@pytest.mark.parametrize(
    "plan", [lambda det: bp.count([det], 18), lambda det: fly_series(det, 18, flush_period_s=0.05)], ids=["step", "fly"]
)
def test_a_full_disk_is_told_in_the_recorders_words(
    engine: RunEngine, detector: StinsDetector, documents: Documents, plan: Callable[[StinsDetector], Any]
) -> None:
    writer = detector.controller.connect().recorder
    filler = Path(f"/proc/{writer.pid}/root", *Path(writer.root, "filler").parts[1:])

    def fill(name: str, doc: dict[str, Any]) -> None:
        """Somebody else's file: there was room for the whole series when it began."""
        if name == "stream_datum" and not filler.exists():
            # Or all that there is left: on a busy machine many frames have come by now.
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                for _ in range(80):
                    file.write(bytes(1 << 16))

    token = engine.subscribe(fill)
    with pytest.raises(FailedStatus, match="no space is left; make room, or record below another root"):
        engine(plan(detector))
    engine.unsubscribe(token)
    assert documents.stop["exit_status"] == "fail"
    assert "no space is left" in documents.stop["reason"]
    series = detector.controller.snapshot.recorder.series
    assert series.state is SeriesState.FAILED
    assert documents.indices[-1][1] <= series.rows
