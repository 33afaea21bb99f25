"""A proxy between a process and a server that can be slow, fall silent or break, as networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from types import TracebackType

from sqlalchemy.engine import make_url


class Proxy:
    """Passes bytes on between `port` and a server, in a thread of its own.

    `silent()` passes nothing on any more and closes nothing: packets are confirmed, no answer comes. Connections that
    are made meanwhile are silent too; `silent_after()` chooses the moment. `cut()` breaks all connections. `delay`
    holds up each answer so many seconds.
    """

    def __init__(self, host: str, port: int, *, delay: float = 0.0) -> None:
        self._server_address = host, port
        self.delay = delay
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._passes = asyncio.Event()
        self._silent_after = b""
        self._writers: set[asyncio.StreamWriter] = set()
        self.connections = 0
        """How many were made so far."""

    @classmethod
    def before(cls, database_url: str) -> Proxy:
        """One that stands before a database server."""
        address = make_url(database_url)
        assert address.port is not None
        return cls(address.host or "", address.port)

    def through(self, database_url: str) -> str:
        """The address of that database for whoever is to come through here."""
        return make_url(database_url).set(host="127.0.0.1", port=self.port).render_as_string(hide_password=False)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def silent(self) -> None:
        """Pass nothing on until `speak`."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def silent_after(self, words: bytes) -> None:
        """Fall silent as soon as a client has said this, which is the last that is passed on."""
        self._loop.call_soon_threadsafe(setattr, self, "_silent_after", words)

    @property
    def is_silent(self) -> bool:
        """Whether nothing is passed on now."""
        return not self._passes.is_set()

    def speak(self) -> None:
        """Pass on again, what was held back too."""
        self._loop.call_soon_threadsafe(self._passes.set)

    def cut(self) -> None:
        """Break every connection there is."""
        self._do(self._cut())

    def _do(self, what: object) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)  # type: ignore[arg-type]

    async def _start(self) -> None:
        self._passes.set()
        self._serving = await asyncio.start_server(self._serve, sock=self._listening)

    async def _end(self) -> None:
        self._serving.close()
        await self._cut()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            to_server, from_client = await asyncio.open_connection(*self._server_address)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, from_client}
        await asyncio.gather(self._pass(reader, from_client, delay=False), self._pass(to_server, writer, delay=True))
        self._writers -= {writer, from_client}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delay: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if delay and self.delay:
                    await asyncio.sleep(self.delay)
                await self._passes.wait()
                if not delay and self._silent_after and self._silent_after in data:
                    self._passes.clear()
                    self._silent_after = b""
                writer.write(data)
                await writer.drain()
        writer.close()
