"""Series of exposures: in real time, each image written when it is done."""

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from .answers import Answer, error, ok
from .camera import Camera
from .faults import Faults
from .folder import Folder
from .image_file import image_file
from .image_pool import ImagePool

__all__ = ["Exposures", "Kind"]

log = logging.getLogger(__name__)

Kind = Literal["exposure", "exttrigger", "extmtrigger", "extenable"]
_DIGITS = 5
_READY_S = 10.0


class _Names(msgspec.Struct, frozen=True):
    """How the images of a series are called (user manual, section on file names).

    A name that ends with `_` and at least three digits is that of the first; another one gets a number; the name of a
    single image is taken as it is.
    """

    folder: Path
    name: str
    images: int

    def __call__(self, number: int) -> Path:
        if self.images == 1:
            return self.folder / self.name
        stem, dot, ending = self.name.rpartition(".")
        front, _, digits = stem.rpartition("_")
        if front and digits.isdigit() and len(digits) >= 3:
            return self.folder / f"{front}_{int(digits) + number:0{len(digits)}d}{dot}{ending}"
        return self.folder / f"{stem.rstrip('_')}_{number:0{_DIGITS}d}{dot}{ending}"


class _GoneError(Exception):
    """Camserver is to go away, as was asked for."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class _FailedError(Exception):
    """The series is to fail, as was asked for."""


class Exposures:
    """One series at a time. `say` sends an answer to whoever is in control, `vanish` makes camserver go away."""

    def __init__(
        self,
        camera: Camera,
        pool: ImagePool,
        folder: Folder,
        faults: Faults,
        *,
        say: Callable[[Answer], None],
        vanish: Callable[[float], None],
    ) -> None:
        self._camera = camera
        self._pool = pool
        self._folder = folder
        self._faults = faults
        self._say = say
        self._vanish = vanish
        self._task: asyncio.Task[None] | None = None
        self._awaited: asyncio.Queue[asyncio.Future[float]] = asyncio.Queue()
        self._last: Path | None = None
        self.taken = 0

    @property
    def running(self) -> bool:
        """Whether a series is under way, or waits for a trigger."""
        return self._task is not None and not self._task.done()

    @property
    def last(self) -> str:
        """The image that was written last."""
        return str(self._last or "")

    def start(self, kind: Kind, name: str) -> Answer:
        """Begins a series; the answer that says so."""
        path = self._folder.below(self._camera.path, name)
        if not name or path is None or not path.parent.is_dir():
            return error(f"cannot write images to {name or '(no name)'}", code=7)
        self._last, self.taken, self._awaited = None, 0, asyncio.Queue()
        names = _Names(path.parent, path.name, self._camera.images)
        self._task = asyncio.create_task(self._run(kind, names), name="exposures")
        now = datetime.now().isoformat(timespec="milliseconds")
        if kind == "exposure":
            return ok(f" Starting {self._camera.exposure_s:.7f} second background: {now}")
        return ok(f" Starting externally triggered exposure(s): {now}")

    async def pulse(self, gate_s: float | None = None) -> bool:
        """A pulse on the cable once the detector is ready for it, as long as the gate where the series is gated.

        Whether it was: not within some seconds is never.
        """
        try:
            async with asyncio.timeout(_READY_S):
                pulse = await self._awaited.get()
        except TimeoutError:
            return False
        if pulse.done():
            return False
        pulse.set_result(self._camera.exposure_s if gate_s is None else gate_s)
        return True

    async def kill(self) -> bool:
        """Ends the series; whether there was one. The image that is being exposed is lost."""
        if self._task is None or self._task.done():
            return False
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return True

    def say_later(self, answer: Answer, after_s: float) -> None:
        """Says it unasked, whatever else is said meanwhile."""
        asyncio.get_running_loop().call_later(after_s, self._say, answer)

    async def _run(self, kind: Kind, names: _Names) -> None:
        try:
            await self._series(kind, names)
        except _GoneError as gone:
            self._vanish(gone.seconds)
        except OSError as failure:
            log.warning("%s", failure)
            self._say(error(f"cannot write {failure.filename}: {failure.strerror}", code=7))
        except _FailedError as failure:
            self._say(error(str(failure), code=7))
        else:
            self._say(ok(self.last, code=7))

    async def _series(self, kind: Kind, names: _Names) -> None:
        loop, camera = asyncio.get_running_loop(), self._camera
        began, frame_s = loop.time(), camera.exposures_per_frame * camera.period_s
        exposed_s = (camera.exposures_per_frame - 1) * camera.period_s + camera.exposure_s
        for number in range(names.images):
            if kind in ("extmtrigger", "extenable") or (kind == "exttrigger" and number == 0):
                gate_s = await self._wait_for_pulse()
                began = loop.time() + camera.delay_s - (0.0 if kind == "exttrigger" else number * frame_s)
                exposed_s = gate_s if kind == "extenable" else exposed_s
            due = began + number * frame_s + exposed_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            start = datetime.fromtimestamp(datetime.now().timestamp() - exposed_s)
            self._write(number, names(number), start)

    async def _wait_for_pulse(self) -> float:
        pulse: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._awaited.put_nowait(pulse)
        return await pulse

    def _write(self, number: int, path: Path, began: datetime) -> None:
        fault = self._faults.of_image(number)
        if fault is not None and fault.kind == "gone":
            raise _GoneError(fault.seconds)
        if fault is not None and fault.kind == "fail":
            raise _FailedError("readout failed")
        if fault is not None and fault.kind == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        packed = self._pool.of_series(number, self._camera.gap_fill)
        content = image_file(path.stem, self._camera.image_header(number, began, f"{path.parent}/"), packed)
        if fault is None or fault.kind != "lose_image":
            self._folder.write(path, content[: len(content) // 2] if fault is not None else content)
        self._last, self.taken = path, number + 1
