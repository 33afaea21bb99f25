"""An HTTP server that can be told to cut the connection instead of answering."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT = "standin_transport"


class _OpenProtocol(H11Protocol):
    """Shows each request its connection, so that an answer can be lost on purpose."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, _TRANSPORT: transport}


class _EmbeddedServer(uvicorn.Server):
    """Leaves signals to whoever runs the loop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.answering.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def cut_connection(request: Request) -> bool:
    """Abort the request's connection; False if the server cannot (the app runs under another one)."""
    transport = request.scope.get("state", {}).get(_TRANSPORT)
    if not isinstance(transport, asyncio.Transport):
        return False
    transport.abort()
    return True


class HttpStandin:
    """Serves an ASGI app on a socket in the running loop: ``start()``, ``port``, ``stop()``."""

    def __init__(self, app: Any, host: str, port: int) -> None:
        self._host, self._wanted_port = host, port
        config = uvicorn.Config(
            app,
            http=_OpenProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # list requests carry phone numbers in their addresses
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        self._server = _EmbeddedServer(config)
        self._task: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen, and return once requests are answered.

        Raises:
            OSError: the address cannot be bound.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # With the protocol left open asyncio does not turn Nagle's algorithm off, and every answer on a
        # kept connection waits 40 ms for the other side's delayed acknowledgement.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._wanted_port))
        except OSError:
            listener.close()
            raise
        self.port = int(listener.getsockname()[1])
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[listener]))
        answering = asyncio.get_running_loop().create_task(self._server.answering.wait())
        await asyncio.wait({self._task, answering}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            await self._task  # it failed: says why

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None
