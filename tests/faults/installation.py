"""An installation of many processes on one PostgreSQL, with the world outside in processes of their own."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from incidents.record import Record, open_record
from incidents.record.database import open_engine
from notifier.standins.runner import DEFAULT_ACCOUNT
from tests.faults.proxy import Proxy
from tests.nursery import Child, start
from tests.ports import free_port
from tests.world import PATIENCE, World, certificates, wait_for
from tocsin.access.keys import Keys
from tocsin.kafka import Topics
from tocsin.migrations.run import upgrade
from tocsin.services import registry
from tocsin.settings import DEMO_TWILIO_TOKEN
from tocsin.wiring import clock_of

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 2
MOST_AWAY = 2
STARTING = 240.0
"""How long a machine with much else to do may take to start a process."""
KEY = "k1:BwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSY="


class Process:
    """One of our processes, started, stopped in every way, and started again."""

    def __init__(self, name: str, roles: Sequence[str], settings: Mapping[str, Any], folder: Path) -> None:
        self.name = name
        self._roles = list(roles)
        self.settings = dict(settings)
        self._log = folder / f"{name}.log"
        self._popen: subprocess.Popen[bytes] | Child | None = None
        self._log_from = 0

    def start(self, **variables: str) -> None:
        """Start it and return at once. `variables` are put into its environment, before anything of it is loaded."""
        program = ["tests.faults.one_process", json.dumps(self.settings), *self._roles]
        self._log_from = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            if variables:
                command, environment = [sys.executable, "-m", *program], {**os.environ, **variables}
                self._popen = subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=log
                )
            else:
                self._popen = start(*program, stderr=log)

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        self._send(signal.SIGKILL)
        self._wait(PATIENCE)

    def pause(self) -> None:
        """SIGSTOP: it stands still, and does not know for how long."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        self._send(signal.SIGCONT)

    def end(self, patience: float = PATIENCE) -> int:
        """SIGTERM, then its exit code."""
        self._send(signal.SIGTERM)
        return self._wait(patience)

    def address(self) -> str | None:
        """Where it answers probes, once it has said so since its last start."""
        found = re.findall(r'"probes": "([^"]+)"', self.log()) if "api" not in self._roles else []
        if found:
            return f"http://{found[-1]}"
        return self.settings["public_url"] if set(self._roles) & {"api", "all"} else None

    def readiness(self) -> tuple[int, str] | None:
        """What `/readyz` says: status and text; None when nobody answers."""
        address = self.address()
        if address is None:
            return None
        try:
            answer = httpx.get(f"{address}/readyz", timeout=10, verify=certificates())
        except httpx.HTTPError:
            return None
        return answer.status_code, answer.text

    def is_ready(self) -> bool | None:
        assert self.is_running(), f"{self.name} ended:\n{self.log()[-4000:]}"
        said = self.readiness()
        return True if said is not None and said[0] == 200 else None

    def log(self) -> str:
        """What it wrote since its last start."""
        return self.whole_log()[self._log_from :]

    def whole_log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def _send(self, number: int) -> None:
        assert self._popen is not None
        self._popen.send_signal(number)

    def _wait(self, patience: float) -> int:
        assert self._popen is not None
        return self._popen.wait(patience)


class Installation:
    """The database, the world, and processes by name."""

    def __init__(self, folder: Path, database_url: str, world: World, **settings: Any) -> None:
        self.folder = folder
        self.world = world
        self.database_url = database_url
        self.bootstrap = ""
        """Kafka's address; empty where the installation has none."""
        self.prefix = f"t{uuid4().hex[:12]}"
        """Of its topics and groups."""
        self.provider: Proxy | None = None
        """What stands before the SMS provider, where it was asked to be slow."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._settings: dict[str, Any] = {
            "database_url": database_url,
            "host": "127.0.0.1",
            "port": port,
            "public_url": self.url,
            "lease_seconds": 5,
            "database_seconds": 5,
            "sms": {
                "mode": "simulated",
                "account_sid": DEFAULT_ACCOUNT,
                "auth_token": DEMO_TWILIO_TOKEN,
                "sender": "+15555550100",
                "base_url": world.twilio_url,
            },
            "smtp": {
                "mode": "simulated",
                "host": "127.0.0.1",
                "port": world.smtp_port,
                "tls": "none",
                "sender": "incident@xiangyao.example",
            },
            "bounces": {"address": "b@xiangyao.example", "smtp_port": world.bounce_port},
            "workers": {"probe_port": 0, "lease_seconds": LEASE_SECONDS, "drain_seconds": 15},
            "vault": {"master_keys": KEY},
            **settings,
        }
        self.processes: dict[str, Process] = {}
        self.keys: dict[str, str] = {}

    def with_kafka(self, bootstrap: str) -> None:
        """Let processes that are added from now on use these brokers, with topics of their own there."""
        self.bootstrap = bootstrap
        names = {"topic_prefix": self.prefix, "group_prefix": self.prefix}
        self._settings["kafka"] = {"bootstrap_servers": [bootstrap], "partitions": 4, **names}

    @property
    def topics(self) -> Topics:
        return Topics(self.prefix)

    def add(self, name: str, *roles: str, **settings: Any) -> Process:
        """A process, not started. `settings` go before those of the installation."""
        process = Process(name, roles, {**self._settings, **settings}, self.folder)
        self.processes[name] = process
        return process

    def prepare(self) -> None:
        """Bring the schema, and make a key of each role."""
        engine = open_engine(self.database_url)
        upgrade(engine)
        with open_record(self.database_url, registry()):
            pass
        keys = Keys(engine, clock_of(engine))
        for role in ("siem", "analyst", "approver", "auditor"):
            _, self.keys[role] = keys.create(role, [role], created_by="user:test")
        engine.dispose()

    @contextmanager
    def record(self) -> Iterator[Record]:
        """The record, read beside the processes."""
        with open_record(self.database_url, registry()) as record:
            yield record

    def ready(self, *names: str) -> None:
        """Wait until these processes (or all) say that they are fit for their work."""
        for process in [self.processes[name] for name in names] or list(self.processes.values()):
            wait_for(process.is_ready, f"{process.name} to be ready", patience=STARTING)

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{process.log()[-3000:]}" for name, process in self.processes.items())

    def close(self) -> None:
        for process in self.processes.values():
            if process.is_running():
                process.go_on()
                process.kill()


@contextmanager
def installation(
    folder: Path, database_url: str, *, slow_by: float = 0.0, bootstrap: str = "", **settings: Any
) -> Iterator[Installation]:
    """An installation without processes yet. `slow_by`: seconds that each answer of the SMS provider takes longer;
    `bootstrap`: where its Kafka is."""
    folder.mkdir(parents=True, exist_ok=True)
    world = World(folder)
    with ExitStack() as stack:
        stack.callback(world.close)
        proxy = None
        if slow_by:
            provider = urlsplit(world.twilio_url)
            proxy = stack.enter_context(Proxy(provider.hostname or "", provider.port or 0, delay=slow_by))
            world.twilio_url = f"http://127.0.0.1:{proxy.port}"
        opened = Installation(folder, database_url, world, **settings)
        opened.provider = proxy
        stack.callback(opened.close)
        if bootstrap:
            opened.with_kafka(bootstrap)
        opened.prepare()
        yield opened


class Reaper:
    """Kills one process every few seconds and starts it again, in a thread, until the block ends.

    It takes those that are at work, whatever at: one that is killed while it still starts does nothing worth killing;
    and of these one that was killed least often. No more than two are away at a time, however slow the machine: where
    nobody gets to work nothing is tried.
    """

    def __init__(self, processes: Sequence[Process], rng: random.Random, *, every: tuple[float, float]) -> None:
        self._processes = processes
        self._rng = rng
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)
        self.killed: list[str] = []

    def has_killed_all(self) -> bool | None:
        """Whether each was killed at least once; None when not."""
        return {process.name for process in self._processes} <= set(self.killed) or None

    def __enter__(self) -> Reaper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(self._rng.uniform(*self._every)):
            at_work = [process for process in self._processes if (process.readiness() or (0, ""))[0] == 200]
            if not at_work or len(at_work) <= len(self._processes) - MOST_AWAY:
                continue
            least = min(self.killed.count(process.name) for process in at_work)
            process = self._rng.choice([one for one in at_work if self.killed.count(one.name) == least])
            process.kill()
            self.killed.append(process.name)
            process.start()
