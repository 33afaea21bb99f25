"""One campaign to very many through the stand-ins: what a worker takes in memory and time, and whether it all adds up.

`python -m bench.million --people 1000000`. Mails go to postfix's `smtp-sink`, which writes each to a file, texts to the
stand-in for Twilio, which sends its receipts to a door; the stand-in and the door run in this process, each worker in
one of its own. Said at the end: peak memory of the largest worker, CPU seconds and bytes of the database for 1,000
people, who was missed or told twice by what the sinks hold, and whether the coverage adds up to the last person.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import structlog
import uvloop
from sqlalchemy import Engine, text

from bench.kill_script import CONNECTIONS, NUMBERS, ROOT, Plan, Report, compare, crowd
from bench.notifier import _sink
from incidents.clock import SystemClock
from incidents.record import open_record
from incidents.record.database import open_engine, reading
from notifier.audience import ImportLimits
from notifier.campaigns.campaign import CampaignStatus
from notifier.deliveries import Timing
from notifier.receipts.callback_url import CallbackUrls
from notifier.standins.runner import DEFAULT_ACCOUNT
from notifier.wiring import build_notifier
from projections.coverage.coverage import campaign_coverage
from projections.coverage.fold import Coverage
from projections.runner import Runner
from tests.notifier.house import KEYS, SECRET, SIMULATED, House, open_house, real_channels
from tocsin.services import registry
from tocsin.workers import settle_in

MOST_MEGABYTES = 600
_TO = re.compile(rb"X-Rcpt-Args: <([^>]+)>")
"""Whom `smtp-sink` took a mail for. It may stand anywhere: what several connections bring is written in turns."""


@dataclass(slots=True)
class Sums:
    """What was found."""

    people: int
    workers: int
    import_seconds: float
    seconds: float
    """From the first worker's start to the finished campaign, its receipts included."""
    megabytes: float
    """Peak resident memory of the largest worker."""
    cpu_per_thousand: float
    bytes_per_thousand: float
    report: Report
    coverage: dict[str, int] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        parts = sum(count for name, count in self.coverage.items() if name != "planned")
        adds_up = parts == self.coverage["planned"] == self.people
        return adds_up and self.report.sound and not self.report.copies and self.megabytes < MOST_MEGABYTES


async def run(folder: Path, plan: Plan) -> Sums:
    """The whole of it."""
    (sunk := folder / "sunk").mkdir()
    for place in (folder, sunk):
        place.chmod(0o777)  # the sink gives up its rights, and writes there
    house_of = open_house(
        folder,
        worker="door",
        url=plan.url,
        more_numbers=[NUMBERS],
        most_messages=4 * plan.people,
        batch_size=500,
        limits=ImportLimits(max_rows=plan.people + 1, max_bytes=1_000 * plan.people),
    )
    with _sink(sunk / "mails") as port:
        async with house_of as house:
            return await _measured(house, plan, port, sunk / "mails")


async def _measured(house: House, plan: Plan, port: int, mails: Path) -> Sums:
    rows, before = crowd(plan, random.Random(plan.seed)), await asyncio.to_thread(_bytes, house.database)
    began = time.monotonic()
    campaign_id = (await asyncio.to_thread(house.started, rows)).campaign_id
    imported = time.monotonic() - began
    began = time.monotonic()
    said = await asyncio.gather(*(_worker(house, campaign_id, number, port) for number in range(plan.workers)))
    seconds = time.monotonic() - began
    report = await asyncio.to_thread(compare, house, campaign_id, rows, _taken(mails))
    report.on_wire = CONNECTIONS
    runner = Runner(house.record, house.database, [Coverage()], house.clock)
    await asyncio.to_thread(runner.drain)
    used = await asyncio.to_thread(_bytes, house.database) - before
    return Sums(
        people=plan.people,
        workers=plan.workers,
        import_seconds=imported,
        seconds=seconds,
        megabytes=max(one["megabytes"] for one in said),
        cpu_per_thousand=sum(one["cpu"] for one in said) * 1000 / plan.people,
        bytes_per_thousand=used * 1000 / plan.people,
        report=report,
        coverage=campaign_coverage(house.database, campaign_id).outcomes.model_dump(),
    )


def _taken(mails: Path) -> Counter[str]:
    """How many mails the sink took for each address."""
    if not mails.exists():
        return Counter()
    with mails.open("rb") as lines:
        return Counter(found[1].decode() for line in lines if (found := _TO.search(line)))


async def _worker(house: House, campaign_id: UUID, number: int, port: int) -> dict[str, float]:
    receipts, url = house.notifier.receipts, house.database.url
    assert receipts is not None
    settings = {
        "database": url.set(drivername=url.get_backend_name()).render_as_string(hide_password=False),
        "twilio_url": house.standins.twilio_url,
        "smtp_port": port,
        "door": receipts._callbacks.public_url,
        "worker": f"million-{number}",
        "campaign": str(campaign_id),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.million", "--work", json.dumps(settings), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"a worker ended with {process.returncode}")
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


async def work(settings: dict[str, Any]) -> dict[str, float]:
    """One worker, until the campaign is finished. Says what it took."""
    clock, database = SystemClock(), open_engine(settings["database"])
    standins: Any = SimpleNamespace(
        twilio_url=settings["twilio_url"],
        smtp_host="127.0.0.1",
        smtp_port=settings["smtp_port"],
        settings=SimpleNamespace(account_sid=DEFAULT_ACCOUNT),
    )
    with closing(open_record(settings["database"], registry())) as record:
        notifier = build_notifier(
            database,
            record,
            clock,
            keys=KEYS,
            channels=real_channels(standins, clock, CallbackUrls(settings["door"], SECRET)),
            drill_channels={},
            worker=settings["worker"],
            rng=random.Random(settings["worker"]),
            timing=Timing(),
            extra_numbers=(*SIMULATED, NUMBERS),
        )
        settle_in()
        campaign_id, looked = UUID(settings["campaign"]), 0.0
        while True:
            done = await asyncio.to_thread(notifier.follower.run_once)
            done += await notifier.engine.run_once()
            done += await asyncio.to_thread(notifier.relay.run_once)
            if not done:
                await asyncio.sleep(0.02)
            if time.monotonic() - looked > 1:
                looked = time.monotonic()
                view = await asyncio.to_thread(notifier.campaigns.view, campaign_id)
                if view.status is CampaignStatus.FINISHED:
                    break
        await notifier.engine.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"megabytes": used.ru_maxrss / 1024, "cpu": used.ru_utime + used.ru_stime}


def _bytes(engine: Engine) -> int:
    with reading(engine) as connection:
        if engine.dialect.name == "postgresql":
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
        pages = int(connection.execute(text("PRAGMA page_count")).scalar_one())
        return pages * int(connection.execute(text("PRAGMA page_size")).scalar_one())


def main(arguments: list[str] | None = None) -> int:
    """Run and print. 0 when everything adds up and a worker stays within its memory."""
    parser = argparse.ArgumentParser(prog="python -m bench.million", description=__doc__)
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--texts", type=float, default=0.1, help="share of people told by text message")
    parser.add_argument("--database", help="address of an empty PostgreSQL database; default: SQLite")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30), logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )
    if given.work:
        print(json.dumps(uvloop.run(work(json.loads(given.work)))))
        return 0
    plan = Plan(given.people, 0, given.workers, texts=given.texts, tricks=0.0, url=given.database)
    with tempfile.TemporaryDirectory(prefix="tocsin-million-") as name:
        sums = asyncio.run(run(Path(name), plan))
    print(json.dumps(asdict(sums), indent=2))
    print("sound" if sums.sound else "NOT SOUND")
    return 0 if sums.sound else 1


if __name__ == "__main__":
    raise SystemExit(main())
