"""What camserver answers: commands of the camera, and those that need its folder or its exposures."""

from pathlib import Path
from typing import Final, get_args

from .answers import Answer, error, ok
from .camera import Camera
from .commands import COMMANDS, full_name
from .exposures import Exposures, Kind
from .faults import Faults
from .folder import Folder

__all__ = ["Dialogue"]

_SERIES: Final[tuple[Kind, ...]] = get_args(Kind)
_OWN: Final = {"imgpath", "df", "camcmd", *_SERIES}
#: The one word that is taken as it is written.
_KILL: Final = "K"
#: What is answered while images are taken.
_ANY_TIME: Final = {"k", "camcmd", "camsetup", "df", "telemetry", "thread", "version"}
_TRIMS: Final = {"setthreshold", "setenergy"}


class Dialogue:
    """`answer` gives the answers to one line; there may be none, or several."""

    def __init__(
        self,
        camera: Camera,
        folder: Folder,
        exposures: Exposures,
        faults: Faults,
        threshold_s: float,
        *,
        twice: bool,
        second_s: float,
    ) -> None:
        self._camera = camera
        self._folder = folder
        self._exposures = exposures
        self._faults = faults
        self._threshold_s = threshold_s
        self._twice = twice
        self._second_s = second_s

    async def answer(self, line: str, *, in_control: bool) -> list[Answer]:
        """Carries out one command."""
        word, _, argument = line.strip().partition(" ")
        name, argument = "k" if word == _KILL else full_name(word, _OWN | COMMANDS.keys()), argument.strip()
        if name is None:
            return [error(f"*** Unrecognized command: {word}", code=1)]
        if (argument or name in _SERIES or name == "k") and not in_control:
            return [error(f"*** Access denied: another client is in control: {word}", code=1)]
        fault = self._faults.of_command(name)
        if fault is not None and fault.kind == "silence":
            return []
        if fault is not None and fault.kind == "refuse":
            return [error(f"ERROR: {word} failed")]
        if self._exposures.running and name not in _ANY_TIME:
            return [error(f"*** Not while images are taken: {word}", code=1)]
        answers = await self._carry_out(name, argument)
        after_s = self._threshold_s if name in _TRIMS and argument else 0.0
        after_s += fault.seconds if fault is not None else 0.0
        return [Answer(answer.code, answer.text, answer.good, after_s) for answer in answers[:1]] + answers[1:]

    async def _carry_out(self, name: str, argument: str) -> list[Answer]:
        if name in _SERIES:
            return [self._exposures.start(name, argument)]
        match name:
            case "imgpath":
                return [self._imgpath(argument)]
            case "df":
                return [ok(str(self._folder.free_bytes() >> 10), code=5)]
            case "k":
                return await self._kill()
            case "camcmd":
                return await self._kill() if argument.lower() == "k" else [error(f"unknown: {argument}", code=1)]
        return [COMMANDS[name](self._camera, argument)]

    async def _kill(self) -> list[Answer]:
        if not await self._exposures.kill():
            return [ok(code=1)]
        killed, last = error("kill", code=13), ok(self._exposures.last, code=7)
        if not self._twice:
            return [killed, last]
        if self._second_s:
            self._exposures.say_later(last, self._second_s)
            return [killed, error("kill", code=7)]
        return [killed, error("kill", code=7), last]

    def _imgpath(self, text: str) -> Answer:
        if text:
            path = self._folder.below(self._camera.path, text)
            if path is None:
                return error(f"{text}: this simulator writes below {self._folder.root} only", code=10)
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as failure:
                return error(f"{text}: {failure.strerror}", code=10)
            self._camera.path = path
        return ok(_with_slash(self._camera.path), code=10)


def _with_slash(path: Path) -> str:
    return f"{path}/"
