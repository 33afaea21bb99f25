"""A server that answers 201 with a message to every request: `python -m bench.http_stub PORT`. Fast, no more."""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import count
from typing import cast

import uvloop

_NUMBERS = count()


class Answering(asyncio.Protocol):
    """One kept connection. Requests have a Content-Length, as the clients of the bench send them."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no class of asyncio's

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(_answer())


def _answer() -> bytes:
    message = {"sid": f"SM{next(_NUMBERS):032x}", "status": "queued", "error_code": None, "num_segments": "1"}
    body = json.dumps(message).encode()
    head = f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port, backlog=1000)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
