"""Mail servers for tests of faults on the wire: postfix's `smtp-sink`, and one that says what it is told to say."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.notifier.house import PATIENCE
from tests.ports import free_port


@contextmanager
def smtp_sink(*options: str) -> Iterator[int]:
    """A running `smtp-sink` with these options; its port."""
    program = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        reason = "no smtp-sink: install postfix"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    as_nobody = ["-u", "nobody"] if os.getuid() == 0 else []
    process, port = _started([program, *as_nobody, *options])
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def _started(command: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    """The program, and the port it listens at: another one where somebody took it before the program did."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        port = free_port()
        process = subprocess.Popen([*command, f"127.0.0.1:{port}", "100"], stderr=subprocess.DEVNULL)
        while process.poll() is None and time.monotonic() < until:
            with socket.socket() as probe:
                answers = probe.connect_ex(("127.0.0.1", port)) == 0
            time.sleep(0.02)
            if answers and process.poll() is None:
                return process, port
        process.kill()
        process.wait()
    raise AssertionError("smtp-sink does not start")


class Script:
    """A server whose replies are given by a function of the command (the first word; `.` for the end of a content).

    It returns the reply's lines, `None` for silence, or raises ConnectionError to hang up. `said` holds every command,
    `contents` every content in full."""

    def __init__(self, reply: Callable[[str, str], str | None], *, pipelining: bool = True) -> None:
        self._reply = reply
        self._greeting = "250-script\r\n250-PIPELINING\r\n250 DSN\r\n" if pipelining else "250 script\r\n"
        self.said: list[str] = []
        self.writes: list[bytes] = []
        self.contents: list[bytes] = []
        self.connections = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Script:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"220 script\r\n")
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient = ""
        while line := (await reader.readline()).decode():
            command = line.split(" ")[0].strip().upper().split(":")[0]
            if command == "EHLO":
                writer.write(self._greeting.encode())
                continue
            self.said.append(line.strip())
            if command == "RCPT":
                recipient = line.partition("<")[2].partition(">")[0]
            answer = await self._answer(command, recipient, writer)
            if command == "DATA" and answer.startswith("354"):
                content = b""
                while (part := await reader.readline()) != b".\r\n":
                    if not part:
                        return
                    content += part
                self.contents.append(content)
                self.said.append(".")
                await self._answer(".", recipient, writer)
            if command == "QUIT":
                return

    async def _answer(self, command: str, recipient: str, writer: asyncio.StreamWriter) -> str:
        answer = self._reply(command, recipient)
        if answer is None:  # silence for ever: whoever waits for this reply gets no other either
            await asyncio.get_running_loop().create_future()
        assert answer is not None
        writer.write(answer.encode() + b"\r\n")
        return answer


GOOD = {"MAIL": "250 2.1.0 Ok", "RCPT": "250 2.1.5 Ok", "DATA": "354 go on", ".": "250 2.0.0 taken", "RSET": "250 Ok"}


def usually(**differently: str | None) -> Callable[[str, str], str | None]:
    """Good answers, but for these. `dot` stands for the end of a content; the text `hang up` for a cut connection."""
    replies: dict[str, str | None] = {**GOOD, "QUIT": "221 Bye"}
    replies |= {("." if name == "dot" else name): reply for name, reply in differently.items()}

    def reply(command: str, _recipient: str) -> str | None:
        answer = replies[command]
        if answer == "hang up":
            raise ConnectionError
        return answer

    return reply
