"""One campaign by mail on PostgreSQL, sent by one process or several to a sink on this machine, and what it leaves.

Every process is what `tocsin worker notifier` runs: it claims batches, speaks SMTP on eight connections, enters
outcomes by the group. The time is that until everybody's outcome is committed. `python -m bench.sending` prints rates,
and the bytes that a recipient leaves in each table, record and read models, indexes and dead rows included.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import uuid4

import structlog
import uvloop
from sqlalchemy import Engine, select, text

from bench.model import Measured
from bench.notifier import VALUES, _email, _sink
from bench.postgres import fresh_database
from incidents.clock import SystemClock
from incidents.record import Context, Record, open_record
from incidents.record.database import open_engine
from notifier.channels.drill import DrillChannel
from notifier.deliveries.tables import sendings
from notifier.vault import MasterKeys
from notifier.wiring import DEFAULT_TEMPLATE, Notifier, build_notifier
from projections.catalogue import all_projections
from projections.runner import Runner
from tocsin.migrations.all_tables import all_tables
from tocsin.services import registry

PEOPLE = 8_000
LOOK = 0.02
"""Seconds between two looks whether all is done."""


def measured(workers: int, people: int = PEOPLE) -> Measured:
    """Recipients a second of so many processes together."""
    found, _ = sent(workers, people)
    return found


def sent(workers: int, people: int) -> tuple[Measured, dict[str, float]]:
    """The same, and bytes a recipient by table."""
    address, spawn = fresh_database(), multiprocessing.get_context("spawn")
    with structlog.testing.capture_logs(), _sink() as port, _open(address, port, "door") as site:
        before = _bytes(site.engine)
        _start(site.notifier, people)
        pipes: list[Connection] = []
        for number in range(workers):
            here, there = spawn.Pipe()
            spawn.Process(target=_worker, args=(address, port, f"notifier-{number}", there), daemon=True).start()
            there.close()
            here.recv()  # connected
            pipes.append(here)
        start, busy = time.perf_counter(), busy_seconds()
        for pipe in pipes:
            pipe.send(None)
        for pipe in pipes:
            pipe.recv()
        took, busy = time.perf_counter() - start, busy_seconds() - busy
        while site.notifier.relay.run_once():
            pass
        Runner(site.record, site.engine, all_projections(), SystemClock()).drain()
        grown = {name: size - before.get(name, 0) for name, size in _bytes(site.engine).items()}
    return Measured(people / took, busy / people), {name: size / people for name, size in grown.items() if size}


def busy_seconds() -> float:
    """Seconds that this machine's cores have computed since it started (proc(5), the first line of /proc/stat)."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text("ascii").partition("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Site:
    engine: Engine
    record: Record
    notifier: Notifier


@contextmanager
def _open(address: str, port: int, name: str) -> Iterator[_Site]:
    engine = open_engine(address)
    all_tables().create_all(engine)
    with closing(open_record(address, registry())) as record:
        notifier = build_notifier(
            engine,
            record,
            SystemClock(),
            keys=MasterKeys("bench", {"bench": bytes(range(32))}),
            channels={"email": _email(port)},
            drill_channels={"email": DrillChannel("email")},
            worker=name,
            rng=random.Random(1),
        )
        yield _Site(engine, record, notifier)
    engine.dispose()


def _start(notifier: Notifier, people: int) -> None:
    clock, campaigns = SystemClock(), notifier.campaigns
    rows = "".join(f"Person {n},,p{n}@example.com,en,GB\r\n" for n in range(people))
    file = io.BytesIO(b"name,phone,email,language,country\r\n" + rows.encode())
    author, other = (Context.of_command(f"user:{name}", clock) for name in "ab")
    audience = notifier.audiences.import_csv(file, author)
    view = campaigns.draft(author, incident_id=uuid4(), template=DEFAULT_TEMPLATE, values=VALUES)
    campaigns.attach_audience(Context.of_command("user:a", clock), view.campaign_id, audience.audience_id)
    asked = campaigns.request_approval(Context.of_command("user:a", clock), view.campaign_id)
    digests = {"text_digest": asked.text_digest, "audience_digest": asked.audience_digest}
    campaigns.approve(other, view.campaign_id, **digests)
    campaigns.start(Context.of_command("user:a", clock), view.campaign_id)
    while notifier.follower.run_once():
        pass


def _worker(address: str, port: int, name: str, parent: Connection) -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with _open(address, port, name) as site:
        parent.send(None)
        parent.recv()
        uvloop.run(_send(site.engine, site.notifier))
        parent.send(None)


async def _send(engine: Engine, notifier: Notifier) -> None:
    while not await asyncio.to_thread(_is_sent, engine):
        if not await notifier.engine.run_once():
            await asyncio.sleep(LOOK)
    await notifier.engine.close()


def _is_sent(engine: Engine) -> bool:
    with engine.connect() as connection:
        planned = connection.execute(select(sendings.c.planned)).scalar_one()
        left = connection.execute(text("SELECT 1 FROM delivery_batches WHERE state <> 'done' LIMIT 1")).first()
        return bool(planned) and left is None


def _bytes(engine: Engine) -> dict[str, int]:
    """Sizes by table; partitions are counted with what they belong to."""
    sizes = (
        "SELECT coalesce(i.inhparent, c.oid)::regclass::text AS name, sum(pg_total_relation_size(c.oid)) AS bytes "
        "FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid "
        "WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1"
    )
    with engine.connect() as connection:
        return {row.name: int(row.bytes) for row in connection.execute(text(sizes))}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.sending", description=__doc__)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    print(f"load of the machine {os.getloadavg()[0]:.1f}\n\n{'processes':>10}{'recipients/s':>14}{'CPU ms each':>13}")
    left: dict[str, float] = {}
    for workers in given.workers:
        found, left = sent(workers, given.people)
        print(f"{workers:>10}{found.rate:>14,.0f}{found.busy * 1_000:>13.2f}")
    print("\nbytes a recipient")
    for name, size in sorted(left.items(), key=lambda one: -one[1]):
        if size >= 1:
            print(f"{name:30}{size:>8,.0f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
