"""The world outside Tocsin, and Tocsin in a process of its own: for tests that kill it and look at what people got."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from incidents.record import Record, open_record
from notifier.standins.outbox_store import OutboxStore, StoredMessage
from tests.nursery import Child, start
from tests.ports import free_port
from tocsin.services import registry
from tocsin.settings import DEMO_TWILIO_TOKEN

T = TypeVar("T")

PATIENCE = 90.0


def wait_for(found: Callable[[], T | None], what: str, *, patience: float = PATIENCE) -> T:
    """Poll until something is there, ever more seldom, for asking takes time from what is asked for. The limit only
    ends a test that would hang."""
    deadline, pause = time.monotonic() + patience, 0.02
    while time.monotonic() < deadline:
        if (value := found()) is not None:
            return value
        time.sleep(pause)
        pause = min(pause * 1.25, 0.2)
    raise AssertionError(f"waited {patience:.0f} s for {what}")


@cache
def certificates() -> ssl.SSLContext:
    """For every client of a test, also those that need none: reading them takes 20 ms."""
    return ssl.create_default_context()


@dataclass(frozen=True)
class Told:
    """What reached one address: how many distinct messages, and how many times one was repeated."""

    messages: int
    repeats: int


class World:
    """The simulated providers, in a process that outlives Tocsin's, with the outbox on disk."""

    def __init__(self, folder: Path) -> None:
        self._outbox_file = folder / "world.sqlite"
        self.bounce_port = free_port()
        arguments = ["--port", "0", "--smtp-port", "0", "--bounce-to", f"127.0.0.1:{self.bounce_port}"]
        arguments += ["--store", str(self._outbox_file), "--step-delay", "0.02"]
        variables = {"TOCSIN_STANDIN_AUTH_TOKEN": DEMO_TWILIO_TOKEN}
        self._process = start("notifier.standins", *arguments, stdout=subprocess.PIPE, variables=variables)
        assert self._process.stdout is not None
        addresses = json.loads(self._process.stdout.readline())
        self.twilio_url: str = addresses["twilio_url"]
        self.smtp_port: int = addresses["smtp_port"]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def outbox(self) -> list[StoredMessage]:
        store = OutboxStore(self._outbox_file)
        try:
            return store.messages(limit=10_000)
        finally:
            store.close()

    def told(self) -> dict[str, Told]:
        """By address, what arrived there: texts by provider id, mails by Message-ID."""
        arrived: dict[str, list[str]] = defaultdict(list)
        for message in self.outbox():
            if message.channel == "sms" and message.status != "delivered":
                continue
            if message.channel == "email" and message.status not in {"delivered", "accepted"}:
                continue
            arrived[message.recipient].append(message.message_id or message.sid)
        return {to: Told(len(set(ids)), len(ids) - len(set(ids))) for to, ids in arrived.items()}


class Tocsin:
    """`tocsin demo` in a process, over one folder, started and killed as often as a test likes."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder / "demo"
        self._log = folder / "tocsin.log"
        self._world = world
        self._port = free_port()
        self._process: Child | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self, *, story: bool = True) -> None:
        arguments = ["--folder", str(self.folder), "--port", str(self._port)]
        arguments += ["--twilio-url", self._world.twilio_url, "--smtp-port", str(self._world.smtp_port)]
        arguments += ["--bounce-port", str(self._world.bounce_port)]
        arguments += [] if story else ["--no-story"]
        with self._log.open("a") as log:
            self._process = start("tocsin", "demo", "--json", *arguments, stdout=subprocess.PIPE, stderr=log)

    def announced(self) -> dict[str, Any]:
        """What it prints once it answers requests."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the service ended early:\n{self.log()[-4000:]}"
        announced: dict[str, Any] = json.loads(line)
        return announced

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(40)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @contextmanager
    def record(self) -> Iterator[Record]:
        """The record, read beside the running process."""
        with open_record(f"sqlite:///{self.folder / 'tocsin.sqlite'}", registry()) as record:
            yield record


@contextmanager
def world_and_tocsin(folder: Path) -> Iterator[tuple[World, Tocsin]]:
    folder.mkdir(parents=True, exist_ok=True)
    world = World(folder)
    tocsin = Tocsin(folder, world)
    try:
        yield world, tocsin
    finally:
        tocsin.stop()
        world.close()
