"""camserver's TCP: one client in control, others may look; and the test hook beside it."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from stins import StinsError

from .answers import Answer
from .camera import Camera
from .dialogue import Dialogue
from .exposures import Exposures
from .faults import Faults
from .folder import Folder
from .hook import Hook
from .image_pool import ImagePool
from .options import PilatusOptions

__all__ = ["Server"]

log = logging.getLogger(__name__)

Session: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

#: What may end a command.
_ENDS = re.compile(rb"[\n\r\0\x18]")
_LONGEST = 1 << 14


class Server:
    """`open` and `close` are called in one event loop."""

    def __init__(self, options: PilatusOptions) -> None:
        self._options = options
        camera, folder, self.faults = (
            Camera(options),
            Folder(options.folder, options.folder_bytes),
            Faults(options.faults),
        )
        camera.path = folder.root
        self.pool = ImagePool(options, camera.shape)
        self.exposures = Exposures(camera, self.pool, folder, self.faults, say=self._say, vanish=self._vanish)
        self._dialogue = Dialogue(
            camera,
            folder,
            self.exposures,
            self.faults,
            options.threshold_s,
            twice=options.twice,
            second_s=options.second_s,
        )
        self._hook = Hook(self.exposures, self.faults)
        self._clients: list[asyncio.StreamWriter] = []
        self._listening: list[asyncio.Server] = []
        self._sessions: set[asyncio.Task[None]] = set()
        self._return: asyncio.TimerHandle | None = None
        self.port = options.port
        self.hook_port = options.hook_port

    @property
    def listening(self) -> bool:
        """Whether camserver is there, and not gone for a while."""
        return len(self._listening) > 1  # camserver, and the hook

    async def open(self) -> None:
        """Returns once clients can connect; `port` and `hook_port` say where.

        Raises:
            StinsError: a port is taken.
        """
        await self._listen()
        hook = await self._serve(self._hook.session, self.hook_port)
        self.hook_port = hook.sockets[0].getsockname()[1]
        self._listening.append(hook)

    async def _listen(self) -> None:
        server = await self._serve(self._session, self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.insert(0, server)

    async def _serve(self, session: Session, port: int) -> asyncio.Server:
        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(session(reader, writer))
            self._sessions.add(task)
            task.add_done_callback(self._sessions.discard)

        try:
            return await asyncio.start_server(begin, self._options.host, port)
        except OSError as error:
            raise StinsError(f"cannot listen on {self._options.host}:{port}: {error.strerror}") from error

    async def interrupt(self) -> None:
        """As if `K` had been typed in camserver's own window: the client in control hears of it."""
        for answer in await self._dialogue.answer("K", in_control=True):
            self._say(answer)

    async def close(self) -> None:
        """Ends the series, if there is one, and all connections."""
        await self.exposures.kill()
        if self._return is not None:
            self._return.cancel()
        for server in self._listening:
            server.close()
        for task in list(self._sessions):
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    # -- a client -------------------------------------------------------------------------------

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.append(writer)
        try:
            await self._converse(reader, writer)
        except ConnectionError:
            log.info("a client broke off")
        finally:
            if writer in self._clients:
                self._clients.remove(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rest = b""
        while chunk := await reader.read(_LONGEST):
            *lines, rest = _ENDS.split(rest + chunk)
            if len(rest) > _LONGEST:
                return
            for line in filter(None, lines):
                answers = await self._dialogue.answer(line.decode("latin-1"), in_control=writer is self._clients[0])
                for answer in answers:
                    await asyncio.sleep(answer.after_s)
                    writer.write(answer.encode())
                await writer.drain()

    def _say(self, answer: Answer) -> None:
        if self._clients:
            self._clients[0].write(answer.encode())

    def _vanish(self, seconds: float) -> None:
        """Nobody is connected, and nobody listens for so long."""
        self._listening.pop(0).close()
        for client in self._clients:
            client.close()
        self._clients = []

        def come_back() -> None:
            task = asyncio.ensure_future(self._listen())
            self._sessions.add(task)
            task.add_done_callback(self._sessions.discard)

        self._return = asyncio.get_running_loop().call_later(seconds, come_back)
