"""The pages that people wait for, in a small installation and in a large one, turn by turn in one run.

Both hold the same twenty open incidents. The large one holds, besides, closed incidents by the hundred thousand: copies
of one that went through the whole life, its events and the rows that the projections made of them, under new ids. What
is compared is the time within which 99 of 100 requests were answered: it should not know how much is closed.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import Connection, Table, func, select, text

from bench.rounds import Comparison, Sample
from bench.streams import START
from incidents.clock import ManualClock
from incidents.facts import OrganisationProfile
from incidents.record import Context
from incidents.record.database import writing
from projections.tables import projection_positions
from tocsin.api.app import create_app
from tocsin.background import Background
from tocsin.migrations.all_tables import all_tables, tables_of
from tocsin.services import Services
from tocsin.settings import Settings
from tocsin.wiring import open_services

Address = Callable[[UUID], str]

SMALL = 1_000
OPEN = 20
REQUESTS = 300
"""Timed requests of each page and installation in one round; the first tenth more are not timed."""
MASTER_KEY = "k1:" + "A" * 43 + "="
# No law of the packs binds an organisation there by itself: a closed case is a few rows, as most alerts are.
PROFILE = OrganisationProfile.parse(
    {
        "name": "Bench Bank",
        "roles": ["controller"],
        "countries": ["IS"],
        "languages": ["en"],
        "time_zone": "Atlantic/Reykjavik",
        "incident_contact": {"name": "Desk", "email": "desk@bench.example"},
    }
)


def board_page(folder: Path, incidents: int, runs: int) -> Comparison:
    """`GET /v1/board`."""
    return _compare(folder, incidents, runs, "board page, p99", lambda _: "/v1/board")


def incident_page(folder: Path, incidents: int, runs: int) -> Comparison:
    """`GET /v1/incidents/ID`, an open one."""
    return _compare(folder, incidents, runs, "incident page, p99", lambda incident: f"/v1/incidents/{incident}")


def deadlines_page(folder: Path, incidents: int, runs: int) -> Comparison:
    """`GET /v1/deadlines`."""
    return _compare(folder, incidents, runs, "deadlines page, p99", lambda _: "/v1/deadlines")


class _Installation:
    def __init__(self, services: Services, app: FastAPI, key: str, incidents: Sequence[UUID]) -> None:
        self.services = services
        self.client = AsyncClient(
            transport=ASGITransport(app, client=("127.0.0.1", 50000)),
            base_url="http://127.0.0.1:8000",
            headers={"Authorization": f"Bearer {key}"},
        )
        self.incidents = incidents


def _compare(folder: Path, incidents: int, runs: int, name: str, path: Address) -> Comparison:
    with structlog.testing.capture_logs(), ExitStack() as stack:
        large = stack.enter_context(_installation(folder, incidents))
        small = stack.enter_context(_installation(folder, min(SMALL, incidents)))
        rates = asyncio.run(_rounds(large, small, runs, path))
    return Comparison(name, 0.5, Sample(tuple(rates[0])), Sample(tuple(rates[1])))


async def _rounds(
    large: _Installation, small: _Installation, runs: int, address: Address
) -> tuple[list[float], list[float]]:
    found: tuple[list[float], list[float]] = ([], [])
    for run in range(runs):
        sides = [(0, large), (1, small)]
        for side, installation in sides if run % 2 == 0 else reversed(sides):
            found[side].append(1 / await _p99(installation, address))
    await large.client.aclose()
    await small.client.aclose()
    return found


async def _p99(installation: _Installation, address: Address) -> float:
    times = []
    for number in range(REQUESTS + REQUESTS // 10):
        where = address(installation.incidents[number % len(installation.incidents)])
        start = time.perf_counter()
        answer = await installation.client.get(where)
        took = time.perf_counter() - start
        answer.raise_for_status()
        if number >= REQUESTS // 10:
            times.append(took)
    return statistics.quantiles(times, n=100)[98]


@contextmanager
def _installation(folder: Path, incidents: int) -> Iterator[_Installation]:
    """Services with `OPEN` open incidents and closed ones up to `incidents`."""
    settings = Settings(
        database_url=f"sqlite:///{folder / f'{uuid4().hex}.sqlite'}",
        organisation_file=folder / "organisation.toml",
        vault={"master_keys": MASTER_KEY},
    )
    clock = ManualClock(START)
    with open_services(settings, clock=clock, profile=PROFILE) as services:
        ids = [_incident(services, f"Open case {number}") for number in range(OPEN)]
        for incident in ids:
            services.incidents.state_facts(incident, _context(services), {"persons_affected": 212, "countries": ["CN"]})
        done = _incident(services, "Closed case")
        _close(services, done)
        _settle(services)
        with writing(services.engine) as connection:
            _multiply(connection, done, incidents - OPEN - 1)
            connection.execute(text("ANALYZE"))
        _, key = services.keys.create("bench", ["analyst"], created_by="user:bench")
        yield _Installation(services, create_app(services, show_within=0), key, ids)


def _incident(services: Services, title: str) -> UUID:
    incident = uuid4()
    services.incidents.report(incident, _context(services), title=title)
    return incident


def _close(services: Services, incident: UUID) -> None:
    services.incidents.triage(incident, _context(services), assessment="real")
    for move in ("contain", "eradicate", "recover", "close"):
        services.incidents.move(incident, _context(services), move)


def _context(services: Services) -> Context:
    return Context.of_command("user:lan", services.clock, command_id=uuid4())


def _settle(services: Services) -> None:
    background = Background(services)
    while not background.is_settled():
        for follower in background.followers:
            follower.drain()
    services.projections.drain()


def _multiply(connection: Connection, incident: UUID, copies: int) -> None:
    """Copy an incident's events and rows under `copies` new ids, by the database itself."""
    if copies <= 0:
        return
    connection.exec_driver_sql("CREATE TEMP TABLE copies (n INTEGER PRIMARY KEY, id TEXT NOT NULL)")
    connection.execute(
        text(
            "INSERT INTO copies WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :copies) "
            "SELECT n, lower(hex(randomblob(16))) FROM n"
        ),
        {"copies": copies},
    )
    head = connection.execute(text("SELECT max(rowid) FROM stored_events")).scalar_one()
    connection.execute(
        text(
            "INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state) "
            "SELECT :head * n + e.rowid, c.id, e.originator_version, e.topic, e.state "
            "FROM copies c, stored_events e WHERE e.originator_id = :incident ORDER BY 1"
        ),
        {"head": head, "incident": incident.hex},
    )
    for name in sorted(tables_of("projections")):
        table = all_tables().tables[name]
        if "incident_id" in table.c:
            _multiply_rows(connection, table, incident, head)
    last = connection.execute(text("SELECT max(rowid) FROM stored_events")).scalar_one()
    connection.execute(projection_positions.update().values(position=last))
    connection.execute(
        text("UPDATE tracking SET notification_id = :last WHERE application_name <> '__migration__'"), {"last": last}
    )
    connection.exec_driver_sql("DROP TABLE copies")


def _multiply_rows(connection: Connection, table: Table, incident: UUID, head: int) -> None:
    values = {"incident_id": "c.id", "originator_id": "c.id", "reference": "'INC-' || upper(substr(c.id, 1, 8))"}
    values |= {"position": f"{head} * c.n + r.position", "opened_position": f"{head} * c.n + r.opened_position"}
    columns = [column.name for column in table.columns]
    chosen = ", ".join(values.get(column, f"r.{column}") for column in columns)
    if connection.execute(select(func.count()).select_from(table).where(table.c.incident_id == incident)).scalar_one():
        connection.execute(
            text(
                f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {chosen} FROM copies c, {table.name} r "
                "WHERE r.incident_id = :incident"
            ),
            {"incident": incident.hex},
        )
