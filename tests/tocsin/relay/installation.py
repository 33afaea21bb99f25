"""The parts of an installation that the relay needs, over one database and one broker; in this process or another.

`python -m tests.tocsin.relay.installation DATABASE BOOTSTRAP PREFIX` runs the relay's worker until it is killed.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import structlog
from eventsourcing.persistence import PersistenceError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from incidents.clock import Clock, ManualClock, SystemClock
from incidents.incident.events import IncidentReported, NoteAdded
from incidents.record import Aggregate, Context, Record, open_record
from incidents.record.database import open_engine
from playbooks.duties.events import DutyLifted
from tests.conftest import NIGHT
from tests.nursery import start
from tests.projections.stories import Teller, many_stories
from tests.world import PATIENCE, wait_for
from tocsin.event_relay import RelayWorker, build_relay, open_event_relay
from tocsin.migrations.run import upgrade
from tocsin.observability.metrics import Metrics
from tocsin.relay.positions import Positions
from tocsin.relay.relay import EventRelay
from tocsin.services import registry
from tocsin.settings import Settings
from tocsin.settings_kafka import KafkaSettings, RelaySettings

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Installation:
    """A record, a database beside it, and settings that name a broker."""

    settings: Settings
    record: Record
    engine: Engine
    clock: Clock = field(default_factory=SystemClock)
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def bootstrap(self) -> str:
        return self.settings.kafka.bootstrap_servers[0]

    @property
    def topic(self) -> str:
        return f"{self.settings.kafka.topic_prefix}.events"

    @property
    def positions(self) -> Positions:
        return Positions(self.engine, self.clock, self.topic)

    @property
    def position(self) -> int:
        return self.positions.load().position

    def tell(self, stories: int = 2) -> None:
        """Record so many whole stories, with every kind of event. Once: another time they would be the same."""
        for _ in many_stories(Teller(self.record, ManualClock(NIGHT)), stories):
            pass

    def grow(self, incidents: int = 10, rounds: int = 4) -> None:
        """Record more incidents, each with a register of duties beside it; one commit a round, all of them mixed."""
        context = Context.of_command("user:lan", SystemClock())
        grown = [(Aggregate(uuid4()), Aggregate(uuid4())) for _ in range(incidents)]
        for incident, _ in grown:
            incident.emit(IncidentReported, context, title="Customer export on a public share", reported_by="person")
        for number in range(rounds):
            for incident, duties in grown:
                incident.emit(NoteAdded, context, text=f"round {number}: 已通知 on-call")
                duties.emit(DutyLifted, context, incident_id=incident.id, duty_id=f"d-{number}", reason="encrypted")
            self.record.commit(*(aggregate for pair in grown for aggregate in pair))

    def grow_when_it_answers(self, incidents: int) -> None:
        """Record them once the database, which was away, takes them."""

        def tried() -> bool | None:
            try:
                self.grow(incidents)
            except (PersistenceError, SQLAlchemyError):
                return None
            return True

        wait_for(tried, "the database to answer")

    def grow_large(self, characters: int) -> None:
        """Record an event that is larger than brokers take where nobody says so."""
        incident, context = Aggregate(uuid4()), Context.of_command("user:lan", SystemClock())
        text = random.Random(1).randbytes(characters // 2).hex()  # does not compress well
        incident.emit(IncidentReported, context, title="Large", summary=text, reported_by="person")
        incident.emit(NoteAdded, context, text="after it")
        self.record.commit(incident)

    def relay(self, **more: Any) -> EventRelay:
        return build_relay(self, **more)

    def worker(self, **more: Any) -> RelayWorker:
        return open_event_relay(self, **more)

    def process(self) -> Process:
        """A relay in a process of its own."""
        return Process(self.settings.database_url, self.bootstrap, self.settings.kafka.topic_prefix)


class Process:
    """A relay that can be killed, stopped and resumed."""

    def __init__(self, *arguments: str) -> None:
        self._process = start("tests.tocsin.relay.installation", *arguments, stdout=subprocess.PIPE)

    def started(self) -> None:
        """Wait until its worker runs."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "running\n"

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL, also where it is stopped."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def installation(url: str, bootstrap: str, prefix: str, **relay: Any) -> Iterator[Installation]:
    """Open it; `relay` are settings of the relay."""
    engine = open_engine(url)
    settings = Settings(
        database_url=url,
        public_url="https://tocsin.example",
        kafka=KafkaSettings(bootstrap_servers=(bootstrap,), topic_prefix=prefix, partitions=3, replication=1),
        relay=RelaySettings(**relay),
    )
    try:
        upgrade(engine)
        with open_record(url, registry()) as record:
            yield Installation(settings, record, engine)
    finally:
        engine.dispose()


@contextmanager
def running(worker: RelayWorker) -> Iterator[RelayWorker]:
    """A worker in a thread, told to stop in the end."""
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        stop.set()
        worker.wake()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the relay does not stop"


def main(url: str, bootstrap: str, prefix: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with installation(url, bootstrap, prefix) as opened:
        print("running", flush=True)
        opened.worker().run(threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])
