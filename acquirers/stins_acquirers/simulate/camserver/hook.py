"""The test hook: what comes over a cable, and faults, as lines of text on a port of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from stins import StinsError
from stins.daemon import check_config

from .exposures import Exposures
from .faults import Fault, Faults

__all__ = ["Hook"]

_HELP = {
    "trigger [N]": "N pulses (1), each once the detector is ready for it",
    "gate SECONDS": "one pulse of that length",
    "fault JSON": 'something goes wrong, e.g. fault {"kind": "lose_image", "image": 3}',
    "clear": "takes all faults back",
    "status": "whether images are taken, and how many were",
}


class Hook:
    """Each line is answered by one line of JSON."""

    def __init__(self, exposures: Exposures, faults: Faults) -> None:
        self._exposures = exposures
        self._faults = faults
        self._commands: dict[str, Callable[[str], Awaitable[Any]]] = {
            "trigger": self._trigger,
            "gate": self._gate,
            "fault": self._fault,
            "clear": self._clear,
            "status": self._status,
            "help": self._help,
        }

    async def session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it closes."""
        try:
            while line := (await reader.readline()).decode():
                writer.write(msgspec.json.encode(await self.answer(line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # gone, or a line without end
            pass
        finally:
            writer.close()

    async def answer(self, line: str) -> Any:
        """What one line does."""
        word, _, argument = line.strip().partition(" ")
        try:
            return await self._commands.get(word, self._help)(argument.strip())
        except (StinsError, msgspec.DecodeError, ValueError) as error:
            return {"error": str(error)}

    async def _trigger(self, count: str) -> dict[str, int]:
        taken = 0
        for _ in range(int(count or 1)):
            taken += await self._exposures.pulse()
        return {"taken": taken}

    async def _gate(self, seconds: str) -> dict[str, int]:
        return {"taken": int(await self._exposures.pulse(float(seconds)))}

    async def _fault(self, text: str) -> dict[str, Any]:
        fault = check_config(msgspec.json.decode(text), Fault, "fault")
        self._faults.add(fault)
        return fault.model_dump()

    async def _clear(self, _text: str) -> dict[str, Any]:
        self._faults.clear()
        return {}

    async def _status(self, _text: str) -> dict[str, Any]:
        return {"taking_images": self._exposures.running, "images": self._exposures.taken}

    async def _help(self, _text: str) -> dict[str, str]:
        return _HELP
