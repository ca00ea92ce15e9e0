"""A session at a beamline: a device for each of its detectors, whoever runs their processes."""

import atexit
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stins import StinsError

from .beamline import Beamline, BeamlineConfig, RunFile, find_controller, load_beamline, running_beamlines, supervise
from .detectors import make_detector
from .device import StinsDetector

__all__ = ["Session", "open_session"]

log = logging.getLogger(__name__)

#: It may be starting a process just then.
_JOIN_S = 40.0


class Session:
    """The detectors of a beamline. Leaving the context lets them go, and ends the processes that it has started."""

    def __init__(self, config: BeamlineConfig, folder: Path, *, own: bool) -> None:
        #: The beamline's name: `stins status NAME`.
        self.name = config.name
        #: Where the session keeps what it has; its catalogue, say.
        self.folder = folder
        #: The folder below which frames are recorded.
        self.data = config.data
        #: Whether the processes are this session's, and end with it.
        self.own = own
        #: The device of each detector, by the name that it has in the beamline file.
        self.detectors: dict[str, StinsDetector] = {}
        self._stack = ExitStack()
        # The worker of a queue server does not run this, and is given half a second to be gone: there the processes end
        # by themselves, because their stdin does.
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        whose = "its processes end with this session" if self.own else "stins up runs it"
        return f"<session at {self.name}: {', '.join(self.detectors)}; data below {self.data}; {whose}>"

    def close(self) -> None:
        """Lets the devices go, and ends the processes that it has started. Closing twice does no harm."""
        atexit.unregister(self.close)
        self._stack.close()

    def _open(self, config: BeamlineConfig, keywords: dict[str, Any]) -> None:
        if self.own:
            self._stack.enter_context(_running(config, self.folder / "log"))
        for name, described in config.detectors.items():
            own = {"labels": {"detectors"}, "numbers": described.wanted_numbers}
            detector = make_detector(name, find_controller(config.name, name), **{**own, **keywords})
            self._stack.callback(detector.destroy)
            self.detectors[name] = detector


def open_session(beamline: Path | str, folder: Path | str | None = None, **keywords: Any) -> Session:
    """A device for each detector of a beamline file; `keywords` are those of `StinsDetector`.

    A beamline of that name which `stins up`, or another session, runs on this machine is used as it runs. Else its
    processes are started, looked after, and end with this process: `stins status` shows them too.

    `folder` is for what the session keeps; the data of processes that it starts stand there too, in `data`. Without
    one it is the folder in which the `data` of the beamline file is.

    Raises:
        ConfigError: the beamline file is wrong; the text names the field.
        StinsError: the beamline runs without one of these detectors, or is just being started.
        ProcessError: a process does not start; the text has its last messages.
    """
    config = load_beamline(Path(beamline))
    place = Path(folder).expanduser().resolve() if folder else config.data.parent
    own = config.name not in running_beamlines()
    expected = place / "data" if folder else config.data
    data = expected if own else _data_of(config.name, {config.data, expected})
    config = config.model_copy(update={"data": data})
    session = Session(config, place, own=own)
    try:
        session._open(config, keywords)
    except BaseException:
        session.close()
        raise
    return session


def _data_of(beamline: str, expected: set[Path]) -> Path:
    """Where the beamline of that name that runs here records; another one's of the same name is not taken for it."""
    run_file = RunFile(beamline)
    run_file.check_started()
    data = run_file.data()
    if data is None or data not in expected:
        wanted = " or ".join(sorted(map(str, expected)))
        raise StinsError(
            f"a beamline {beamline!r} runs already, with data below {data}, expected {wanted}: it is another one. Give "
            "this one another name in its file, or end that one first"
        )
    return data


@contextmanager
def _running(config: BeamlineConfig, folder: Path) -> Iterator[None]:
    """The processes of a beamline, looked after, and known to `stins status`."""
    run_file = RunFile(config.name)
    run_file.claim()
    try:
        with Beamline(config, folder) as beamline:
            beamline.tell(run_file)
            with _looked_after(beamline):
                yield
    finally:
        run_file.remove()


@contextmanager
def _looked_after(beamline: Beamline) -> Iterator[None]:
    """What ends by itself is started again, as `stins up` does."""
    stop = threading.Event()
    thread = threading.Thread(
        target=supervise, args=(beamline.detectors, log.warning, stop), name="beamline-supervision", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_JOIN_S)
