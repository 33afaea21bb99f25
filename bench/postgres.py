"""On PostgreSQL: our recorder and our commands against the library's own, on one server.

The server is the one that `TOCSIN_TEST_POSTGRES_URL` names, else one of this machine's binaries with its own defaults.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
from collections.abc import Callable
from contextlib import closing
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from eventsourcing.application import Application
from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url

from bench.rounds import Comparison, Skipped, Work, compare
from bench.streams import REGISTRY, START, BareSide, OurSide, alerts
from incidents.clock import ManualClock
from incidents.incident.events import AlertSummary
from incidents.incident.incident import Incident
from incidents.incident.service import IncidentService
from incidents.record import Context, open_record
from incidents.record.mapper import EventMapper
from incidents.record.postgres import settings_of
from tests.postgres import NoPostgres, PostgresServer

BATCH = 1_000
CLIENTS = 8
PER_INCIDENT = 19


def save_batches(_folder: Path, events: int, runs: int) -> Comparison:
    """The same stored events, a thousand a transaction, given to both recorders."""

    def prepare(settings: Callable[[str], dict[str, str]]) -> Work:
        recorder = _recorder(settings(fresh_database()))
        batches = [_stored(BATCH) for _ in range(events // BATCH)]

        def work() -> int:
            for batch in batches:
                recorder.insert_events(batch)
            return len(batches) * BATCH

        recorder.insert_events(_stored(1))  # connected, statements known
        return work

    return compare(
        f"PostgreSQL: save, {BATCH} events a batch",
        aim=2,
        ours=lambda _run: prepare(_our_settings),
        bare=lambda _run: prepare(_bare_settings),
        runs=runs,
    )


def commands(_folder: Path, events: int, runs: int) -> Comparison:
    """Eight client processes, each with incidents of its own: ours loads, decides and saves, the library only saves."""
    each = events // CLIENTS

    def prepare(client: Callable[[str, int, Connection], None]) -> Work:
        address = fresh_database()
        spawn = multiprocessing.get_context("spawn")
        pipes = []
        for _ in range(CLIENTS):
            here, there = spawn.Pipe()
            spawn.Process(target=client, args=(address, each, there), daemon=True).start()
            there.close()
            here.recv()  # connected and warm; one by one: the library's tables cannot be made by two at once
            pipes.append(here)

        def work() -> int:
            for pipe in pipes:
                pipe.send(None)
            return sum(pipe.recv() for pipe in pipes)

        return work

    return compare(
        f"PostgreSQL: commands, {CLIENTS} processes",
        aim=0.8,
        ours=lambda _run: prepare(our_client),
        bare=lambda _run: prepare(_bare_client),
        runs=runs,
    )


def our_client(address: str, count: int, parent: Connection) -> None:
    with open_record(address, REGISTRY) as record:
        service, clock = IncidentService(record), ManualClock(START)

        def work(count: int) -> int:
            incident: Incident | None = None
            for number, alert in enumerate(alerts(count)):
                if incident is None or number % PER_INCIDENT == 0:
                    incident = service.report(uuid4(), Context.of_command("siem:wazuh", clock), title="t")
                summary = AlertSummary(**alert.values)
                context = Context.of_command("siem:wazuh", clock, command_id=alert.command_id)
                service.change(incident.id, context, lambda it, c=context, s=summary: it.link_alert(c, s))  # type: ignore[misc]
            return count + -(-count // PER_INCIDENT)

        _serve(work, count, parent)


def _bare_client(address: str, count: int, parent: Connection) -> None:
    application: Application[UUID] = Application(_bare_settings(address))
    with closing(application):

        def work(count: int) -> int:
            side = BareSide()
            for number, alert in enumerate(alerts(count)):
                if number % PER_INCIDENT == 0:
                    side = BareSide()
                    application.save(side.incident)
                side.link(alert)
                application.save(side.incident)
            return count + -(-count // PER_INCIDENT)

        _serve(work, count, parent)


def _serve(work: Callable[[int], int], count: int, parent: Connection) -> None:
    work(PER_INCIDENT)
    parent.send(0)
    parent.recv()
    parent.send(work(count))


def _stored(count: int) -> list[StoredEvent]:
    """Real events, in streams of twenty, as the mapper stores them."""
    mapper, stored = EventMapper(REGISTRY), list[StoredEvent]()
    while len(stored) < count:
        side = OurSide()
        for alert in alerts(PER_INCIDENT):
            side.link(alert)
        stored += [mapper.to_stored_event(event) for event in side.incident.collect_events()]
    return stored[:count]


def _recorder(settings: dict[str, str]) -> ApplicationRecorder:
    factory = InfrastructureFactory.construct(Environment("tocsin", settings))
    atexit.register(factory.close)
    return factory.process_recorder()


def _our_settings(address: str) -> dict[str, str]:
    return settings_of(make_url(address))


def _bare_settings(address: str) -> dict[str, str]:
    url = make_url(address)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url.database or "",
        "POSTGRES_HOST": url.host or "",
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASSWORD": url.password or "",
    }


@cache
def _server() -> str:
    address = os.environ.get("TOCSIN_TEST_POSTGRES_URL")
    if address:
        return address
    try:
        server = PostgresServer()
    except NoPostgres as error:
        raise Skipped(f"no PostgreSQL: {error}; set TOCSIN_TEST_POSTGRES_URL or install the server") from error
    atexit.register(server.remove)
    server.start()
    return server.url


def fresh_database() -> str:
    address, name = make_url(_server()), f"bench_{uuid4().hex}"
    parameters: dict[str, Any] = address.translate_connect_args(database="dbname", username="user")
    with psycopg.connect(make_conninfo(**parameters), autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    atexit.register(_drop, make_conninfo(**parameters), name)
    return address.set(database=name).render_as_string(hide_password=False)


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
