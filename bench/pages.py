"""The pages that people wait for, in a small installation and in a large one, turn by turn in one run.

Both hold the same open incidents with their duties and runs. The large one holds, besides, closed ones: copies of one
that went through the whole life, and among each `DETAILED` of them one of another with duties, a run and a campaign
(`bench.crowd`, which also checks that the rows are those that the projections write). What is compared is the time
within which 99 of 100 requests were answered: it should not know how much is closed.

`python -m bench.pages --incidents 1000000 --database postgresql` builds once, measures every page, and says how large
the database is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import structlog
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import text

from bench.crowd import Case, Crowd, tidy, verify
from bench.postgres import fresh_database
from bench.rounds import Comparison, Sample
from bench.streams import START
from incidents.clock import ManualClock
from incidents.facts import OrganisationProfile
from incidents.record import Context
from incidents.record.database import reading
from tocsin.api.app import create_app
from tocsin.background import Background
from tocsin.services import Services
from tocsin.settings import Settings
from tocsin.wiring import open_services

Address = Callable[[UUID], str]

SMALL = 1_000
OPEN = 20
REQUESTS = 300
"""Timed requests of each page and installation in one round; the first tenth more are not timed."""
MASTER_KEY = "k1:" + "A" * 43 + "="
DETAILED = 200
"""Of so many closed incidents one has duties, a run and a campaign; the others are a few rows, as most alerts are."""
FACTS: Mapping[str, Any] = {
    "event_kinds": ["personal_data_breach"],
    "data_classes": ["personal", "health"],
    "data_events": ["leaked"],
    "persons_affected": 2,
    "persons_by_country": {"DE": 2},
    "countries": ["DE"],
    "risk_to_persons": "high",
    "direct_loss": {"CNY": 0},
}
NOTHING_CAME_OF_IT: Mapping[str, Any] = {"event_kinds": ["attempted_attack"], "persons_affected": 0}
# No law of the packs binds an organisation there by itself: it is the facts above that bring duties.
PROFILE = OrganisationProfile.parse(
    {
        "name": "Bench Bank",
        "roles": ["controller"],
        "countries": ["FJ"],
        "languages": ["en"],
        "time_zone": "Pacific/Fiji",
        "incident_contact": {"name": "Desk", "email": "desk@bench.example"},
    }
)


PAGES: Mapping[str, Address] = {
    "board page": lambda _: "/v1/board",
    "incident page": lambda incident: f"/v1/incidents/{incident}",
    "deadlines page": lambda _: "/v1/deadlines",
}
MORE: Mapping[str, Address] = {
    "board, newest first": lambda _: "/v1/board?sort=opened",
    "board, closed ones": lambda _: "/v1/board?state=closed&sort=updated",
    "board, search": lambda _: "/v1/board?search=open%20case%201",
    "timeline of an incident": lambda incident: f"/v1/incidents/{incident}/timeline",
    "duties of an incident": lambda incident: f"/v1/incidents/{incident}/duties",
}
"""Looked at besides, by `python -m bench.pages`."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds of every request, by run."""

    name: str
    large: list[list[float]]
    small: list[list[float]]

    @property
    def comparison(self) -> Comparison:
        """By what 99 of 100 requests took."""
        ours, bare = (Sample(tuple(1 / _p99(run) for run in side)) for side in (self.large, self.small))
        return Comparison(f"{self.name}, p99", 0.5, ours, bare)


def board_page(folder: Path, incidents: int, runs: int) -> Comparison:
    """`GET /v1/board`."""
    return _alone(folder, incidents, runs, "board page")


def incident_page(folder: Path, incidents: int, runs: int) -> Comparison:
    """`GET /v1/incidents/ID`, an open one."""
    return _alone(folder, incidents, runs, "incident page")


def deadlines_page(folder: Path, incidents: int, runs: int) -> Comparison:
    """`GET /v1/deadlines`."""
    return _alone(folder, incidents, runs, "deadlines page")


def board_page_on_postgresql(folder: Path, incidents: int, runs: int) -> Comparison:
    """`GET /v1/board` on PostgreSQL."""
    return _alone(folder, incidents, runs, "board page", on_server=True)


def _alone(folder: Path, incidents: int, runs: int, page: str, *, on_server: bool = False) -> Comparison:
    requests = REQUESTS if incidents > SMALL else REQUESTS // 10  # few incidents: does it work, not how fast is it
    (found,) = compare_pages(folder, incidents, runs, {page: PAGES[page]}, on_server=on_server, requests=requests)
    return found.comparison


def compare_pages(
    folder: Path,
    incidents: int,
    runs: int,
    pages: Mapping[str, Address],
    *,
    on_server: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    requests: int = REQUESTS,
) -> list[Compared]:
    """Each page in both installations, which are built once."""
    where = "PostgreSQL: " if on_server else ""
    with structlog.testing.capture_logs(), ExitStack() as stack:
        large, small = (
            stack.enter_context(installation(folder, size, on_server=on_server, tell=tell))
            for size in (incidents, min(SMALL, incidents))
        )
        times = asyncio.run(_all_rounds(large, small, runs, pages, requests))
    return [Compared(f"{where}{name}", ours, bare) for name, (ours, bare) in times.items()]


class _Installation:
    def __init__(self, services: Services, app: FastAPI, key: str, incidents: Sequence[UUID]) -> None:
        self.services = services
        self.client = AsyncClient(
            transport=ASGITransport(app, client=("127.0.0.1", 50000)),
            base_url="http://127.0.0.1:8000",
            headers={"Authorization": f"Bearer {key}"},
        )
        self.incidents = incidents


Times = tuple[list[list[float]], list[list[float]]]


async def _all_rounds(
    large: _Installation, small: _Installation, runs: int, pages: Mapping[str, Address], requests: int
) -> dict[str, Times]:
    try:
        return {name: await _rounds(large, small, runs, address, requests) for name, address in pages.items()}
    finally:
        await large.client.aclose()
        await small.client.aclose()


async def _rounds(large: _Installation, small: _Installation, runs: int, address: Address, requests: int) -> Times:
    found: Times = ([], [])
    for run in range(runs):
        sides = [(0, large), (1, small)]
        for side, installation in sides if run % 2 == 0 else reversed(sides):
            found[side].append(await _asked(installation, address, requests))
    return found


async def _asked(installation: _Installation, address: Address, requests: int) -> list[float]:
    times = []
    for number in range(requests + requests // 10):
        where = address(installation.incidents[number % len(installation.incidents)])
        start = time.perf_counter()
        answer = await installation.client.get(where)
        took = time.perf_counter() - start
        answer.raise_for_status()
        if number >= requests // 10:
            times.append(took)
    return times


def _p99(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


@contextmanager
def installation(
    folder: Path, incidents: int, *, on_server: bool = False, tell: Callable[[str], None] = lambda _: None
) -> Iterator[_Installation]:
    """Services with `OPEN` open incidents and closed ones up to `incidents`."""
    address = fresh_database() if on_server else f"sqlite:///{folder / f'{uuid4().hex}.sqlite'}"
    settings = Settings(
        database_url=address, organisation_file=folder / "organisation.toml", vault={"master_keys": MASTER_KEY}
    )
    clock = ManualClock(START)
    with open_services(settings, clock=clock, profile=PROFILE) as services:
        cases = [_case(services, facts) for facts in (NOTHING_CAME_OF_IT, FACTS)]
        ids = [_incident(services, f"Open case {number}") for number in range(OPEN)]
        for incident in ids:
            services.incidents.state_facts(incident, _context(services), FACTS)
        _settle(services)
        copies = max(0, incidents - OPEN - len(cases))
        start = time.perf_counter()
        made = Crowd(services.engine, services.record, cases).add(copies, (1, DETAILED))
        written = time.perf_counter() - start
        tidy(services.engine)
        compared = verify(services.engine, made, folder, clock) if copies else 0
        tell(
            f"{incidents:,} incidents: written in {written:,.0f} s, {_gigabytes(services):.2f} GB; "
            f"{compared} rows of a sample are those of the projections"
        )
        _, key = services.keys.create("bench", ["analyst"], created_by="user:bench")
        yield _Installation(services, create_app(services, show_within=0), key, ids)


def _gigabytes(services: Services) -> float:
    with reading(services.engine) as connection:
        if services.settings.is_on_server:
            return float(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()) / 1e9
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return float(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one()) / 1e9


def _case(services: Services, facts: Mapping[str, Any]) -> Case:
    """An incident that went through the whole life, and everything that followed from it."""
    after = services.record.head()
    incident = _incident(services, "Closed case")
    services.incidents.state_facts(incident, _context(services), facts)
    _settle(services)
    _close(services, incident)
    _settle(services)
    return Case(incident, after, services.record.head())


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


def main() -> int:
    """Build once, measure every page, print milliseconds."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--incidents", type=int, default=100_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each page in each run")
    parser.add_argument("--more", action="store_true", help="further pages")
    parser.add_argument("--folder", help="for the files of SQLite; default: a temporary one")
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-", dir=given.folder) as folder:
        found = compare_pages(
            Path(folder),
            given.incidents,
            given.runs,
            {**PAGES, **(MORE if given.more else {})},
            on_server=given.database == "postgresql",
            tell=print,
            requests=given.requests,
        )
    columns = f"{given.incidents:>12,}{SMALL:>12,}{'times':>8}"
    print(f"\nmilliseconds; load of the machine {os.getloadavg()[0]:.1f}")
    print(f"{'':36}{'p99':>32}{'median':>32}\n{'':36}{columns}{columns}")
    for one in found:
        p99, middle = _milliseconds(one, _p99), _milliseconds(one, statistics.median)
        print(f"{one.name:36}{p99}{middle}")
    return 0


def _milliseconds(found: Compared, figure: Callable[[Sequence[float]], float]) -> str:
    large, small = (statistics.median(figure(run) for run in side) * 1_000 for side in (found.large, found.small))
    return f"{large:>12.1f}{small:>12.1f}{large / small:>8.2f}"


if __name__ == "__main__":
    raise SystemExit(main())
