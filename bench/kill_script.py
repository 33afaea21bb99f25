"""Killing the senders: one campaign through the stand-ins, worker processes killed again and again, and the sums after.

`python -m bench.kill_script --people 1000000 --kills 200`. The stand-ins fail for a share of the people in every way
they know: answers lost before and after the message was taken, connections cut, 4xx, 429, 5xx. Afterwards the outside
world (what the stand-ins took, by address) is compared with the record:

- lost: nobody may be without a message who is not on record as refused, or as one of whom nobody can tell;
- twice: whoever got more than one must be marked for it, once for each copy too many;
- of those whose own address plays no trick, no more copies than kills times what is on the wire at once.

The same script against a plain loop over aiosmtplib with a table must show people told twice without a mark, or lost:
else it would prove nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from bench import plain_loop
from notifier.campaigns.events import DeliveriesRecorded
from notifier.deliveries import counters
from notifier.standins.callback_sender import CallbackFaults
from notifier.standins.outcomes import simulated_number
from notifier.standins.runner import StandinSettings
from tests.notifier.house import TOKEN, House, open_house

ROOT = Path(__file__).parents[1]
POINTS = ("claimed", "marked", "sent", "settled", "relay-bound", "relay-recorded")
MAIL_TRICKS = ("drop-after-dot", "lose-after-dot", "greylist", "bounce-5.1.1")
TEXT_TRICKS = ("busy-first", "error-not-accepted", "error-but-accepted", "answer-lost", "callbacks-twice")
NUMBERS = r"\+86140\d{8}"
"""140 is for machines, whose numbers have 13 digits: one with 11 rings nobody."""
CONNECTIONS = 4
"""Mails of one worker that are on the wire at once (`tests.notifier.house.real_channels`)."""
TEXTS_AT_ONCE = 16

Row = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """How large, and how cruel."""

    people: int
    kills: int
    workers: int = 2
    seed: int = 1
    texts: float = 0.2
    """Share of people told by text message."""
    tricks: float = 0.05
    """Share whose address makes the stand-in fail."""
    seconds: float = 600.0
    batch: int = 16
    url: str | None = None


@dataclass(slots=True)
class Report:
    """What came of it."""

    people: int = 0
    kills: int = 0
    seconds: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    messages: int = 0
    lost: int = 0
    """Nothing arrived, and nothing on record says so."""
    unmarked: int = 0
    """Copies too many without a mark for them."""
    marked: int = 0
    """Marks `ambiguous` on record."""
    copies: int = 0
    """Copies too many, all in all."""
    copies_by_kill: int = 0
    """Those among them that no trick of an address explains."""
    on_wire: int = 0
    """The most that kills can explain: kills times what one worker has on the wire."""
    moves_twice: int = 0

    @property
    def sound(self) -> bool:
        return not (self.lost or self.unmarked or self.moves_twice) and self.copies_by_kill <= self.on_wire


def crowd(plan: Plan, rng: random.Random) -> list[Row]:
    """The people: each with one way to be told, some with an address that plays a trick."""
    rows, blocks = list[Row](), Counter[str]()
    for number in range(plan.people):
        tricky = rng.random() < plan.tricks
        if rng.random() < plan.texts:
            trick = rng.choice(TEXT_TRICKS)
            if tricky and blocks[trick] < 100:  # the range has so many numbers for each trick
                rows.append((f"T{number}", simulated_number(trick, "CN", blocks[trick]), "", "en", "CN"))
                blocks[trick] += 1
            else:
                rows.append((f"T{number}", f"+86140{10_000_000 + number}", "", "en", "CN"))
        else:
            word = f"{rng.choice(MAIL_TRICKS)}+{number}" if tricky else f"p{number}"
            rows.append((f"M{number}", "", f"{word}@example.com", "en", "GB"))
    return rows


class Senders:
    """Worker processes, each started again after every death, until so many died; then left alone."""

    def __init__(self, kills: int, rng: random.Random, command: Callable[[int, bool], list[str]]) -> None:
        self._left = kills
        self._rng = rng
        self._command = command
        self.killed = 0
        self._running: set[asyncio.subprocess.Process] = set()

    async def run(self, workers: int, over: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Until it is over. TimeoutError when it never is."""
        slots = [asyncio.create_task(self._slot(number)) for number in range(workers)]
        try:
            async with asyncio.timeout(seconds):
                while not await over():
                    for slot in slots:
                        if slot.done():
                            slot.result()
                    await asyncio.sleep(0.1)
        finally:
            for slot in slots:
                slot.cancel()
            await asyncio.gather(*slots, return_exceptions=True)
            for process in list(self._running):
                await self._end(process)

    async def _slot(self, number: int) -> None:
        while True:
            dies = self._left > 0
            self._left -= dies
            process = await asyncio.create_subprocess_exec(
                *self._command(number, dies), cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
            )
            self._running.add(process)
            with contextlib.suppress(TimeoutError):
                # It ends itself at a step chosen by chance; one that never comes to it is killed wherever it is.
                await asyncio.wait_for(process.wait(), self._rng.uniform(2, 6) if dies else None)
            await self._end(process)
            if process.returncode not in (0, -signal.SIGKILL):
                raise RuntimeError(f"a sender ended by itself with {process.returncode}")
            self.killed += process.returncode == -signal.SIGKILL
            if process.returncode == 0 and not dies:
                return

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._running.discard(process)


async def kill_ours(folder: Path, plan: Plan) -> Report:
    """The campaign by our workers."""
    rng, began = random.Random(plan.seed), time.monotonic()
    faults = CallbackFaults(dropped=0.05, duplicated=0.1, reversed=0.1)
    settings = StandinSettings(auth_token=TOKEN, step_delay=0.01, faults=faults)
    async with open_house(
        folder, worker="door", standin_settings=settings, url=plan.url, more_numbers=[NUMBERS]
    ) as house:
        rows = crowd(plan, rng)
        campaign_id = (await asyncio.to_thread(house.started, rows)).campaign_id
        senders = Senders(plan.kills, rng, _our_worker(house, plan, rng))
        await senders.run(plan.workers, lambda: asyncio.to_thread(_finished, house, campaign_id), plan.seconds)
        report = await asyncio.to_thread(compare, house, campaign_id, rows)
    report.kills = senders.killed
    report.on_wire = senders.killed * (CONNECTIONS + TEXTS_AT_ONCE)
    report.seconds = time.monotonic() - began
    return report


def _our_worker(house: House, plan: Plan, rng: random.Random) -> Callable[[int, bool], list[str]]:
    receipts = house.notifier.receipts
    assert receipts is not None
    url = house.database.url
    common = {
        "database": url.set(drivername=url.get_backend_name()).render_as_string(hide_password=False),
        "twilio_url": house.standins.twilio_url,
        "smtp_port": house.standins.smtp_port,
        "door": receipts._callbacks.public_url,
        "batch_size": plan.batch,
    }
    most = max(8, plan.people // max(1, plan.kills))

    def command(number: int, dies: bool) -> list[str]:
        die_at = f"{rng.choice(POINTS)}:{rng.randint(1, most)}" if dies else ""
        settings = {**common, "worker": f"killed-{number}", "die_at": die_at}
        return [sys.executable, "-m", "tests.notifier.sending_worker", json.dumps(settings)]

    return command


def _finished(house: House, campaign_id: UUID) -> bool:
    return house.notifier.campaigns.view(campaign_id).status.value == "finished"


def compare(house: House, campaign_id: UUID, rows: Sequence[Row], mailed: Counter[str] | None = None) -> Report:
    """The outside world against the record. `mailed`: mails by address that another sink took."""
    report = Report(people=len(rows))
    view = house.notifier.campaigns.view(campaign_id)
    report.outcomes = view.outcomes
    told = counters(house.database, campaign_id)
    assert told == {"open": 0, **view.outcomes}, "the counters say what the record says"
    assert sum(view.outcomes.values()) == len(rows), view.outcomes
    marks, accepted, seen = Counter[UUID](), set[UUID](), Counter[tuple[UUID, str]]()
    for move in _moves(house, campaign_id):
        seen[move.delivery, move.state] += 1
        if move.state == "ambiguous":
            marks[move.recipient] += 1
        elif move.state in {"accepted", "sent", "delivered", "rejected", "failed", "undelivered"}:
            accepted.add(move.recipient)
    report.moves_twice = sum(times - 1 for times in seen.values())
    report.marked = sum(marks.values())
    sunk = Counter(house.standins.store.counts()) + (mailed or Counter())
    report.messages = sum(sunk.values())
    for recipient, address in _addresses(house, view.audience_id):
        copies = sunk[address]
        if not copies and not marks[recipient] and recipient not in accepted:
            report.lost += 1
        extra = max(0, copies - 1)
        report.copies += extra
        report.unmarked += max(0, extra - marks[recipient])
        if not _tricky(address):
            report.copies_by_kill += extra
            report.lost += not copies and not marks[recipient]
    return report


def _tricky(address: str) -> bool:
    return address.startswith(("+861400000", *MAIL_TRICKS))


def _moves(house: House, campaign_id: UUID) -> Iterator[Any]:
    position = 0
    while batch := house.record.read(position, 200, kinds=(DeliveriesRecorded.kind,)):
        for recorded in batch:
            position, event = recorded.position, recorded.event
            if isinstance(event, DeliveriesRecorded) and event.campaign_id == campaign_id:
                yield from event.moves


def _addresses(house: House, audience_id: UUID | None) -> Iterator[tuple[UUID, str]]:
    assert audience_id is not None
    after = 0
    while members := house.notifier.audiences.members(audience_id, after=after, limit=1000):
        contacts = house.notifier.vault.read_many(member.recipient_id for member in members)
        for recipient, contact in contacts.items():
            yield recipient, contact.phone or contact.email or ""
        after = members[-1].position


async def kill_the_plain_loop(folder: Path, plan: Plan) -> Report:
    """The same people (those with a mail address), tricks and kills, by a loop that keeps a table."""
    rng, began, report = random.Random(plan.seed), time.monotonic(), Report()
    file = str(folder / "plain.sqlite")
    async with open_house(folder, worker="door", more_numbers=[NUMBERS]) as house:
        addresses = [row[2] for row in crowd(plan, rng) if row[2]]
        plain_loop.make_table(file, addresses)
        most = max(4, len(addresses) // max(1, plan.kills))

        def command(_number: int, dies: bool) -> list[str]:
            settings = {
                "file": file,
                "port": house.standins.smtp_port,
                "die_after": rng.randint(1, most) if dies else 0,
            }
            return [sys.executable, "-m", "bench.plain_loop", json.dumps(settings)]

        async def over() -> bool:
            return not await asyncio.to_thread(plain_loop.waiting, file)

        senders = Senders(plan.kills, rng, command)
        await senders.run(1, over, plan.seconds)
        sunk = Counter(house.standins.store.counts("email"))
    told = plain_loop.told(file)
    report.people, report.kills, report.messages = len(addresses), senders.killed, sum(sunk.values())
    report.copies = report.unmarked = sum(max(0, sunk[address] - 1) for address in addresses)
    report.copies_by_kill = sum(max(0, sunk[address] - 1) for address in addresses if not _tricky(address))
    report.lost = sum(not sunk[address] for address in told)
    report.outcomes = {"told": len(told), "not told": len(addresses) - len(told)}
    report.seconds = time.monotonic() - began
    return report


def main(arguments: list[str] | None = None) -> int:
    """Run both and print. 0 when ours is sound and the plain loop is not."""
    parser = argparse.ArgumentParser(prog="python -m bench.kill_script", description=__doc__)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--texts", type=float, default=0.2, help="share of people told by text message")
    parser.add_argument("--batch", type=int, default=100, help="people in a batch")
    parser.add_argument("--seconds", type=float, default=3600, help="give up after so long")
    parser.add_argument("--database", help="address of an empty PostgreSQL database; default: SQLite")
    given = parser.parse_args(arguments)
    plan = Plan(
        given.people,
        given.kills,
        given.workers,
        given.seed,
        given.texts,
        seconds=given.seconds,
        batch=given.batch,
        url=given.database,
    )
    with tempfile.TemporaryDirectory(prefix="tocsin-kill-") as name:
        (ours_in := Path(name) / "ours").mkdir()
        (plain_in := Path(name) / "plain").mkdir()
        ours = asyncio.run(kill_ours(ours_in, plan))
        print(f"ours:  {ours}")
        plain = asyncio.run(kill_the_plain_loop(plain_in, plan))
        print(f"plain: {plain}")
    return 0 if ours.sound and not plain.sound else 1


if __name__ == "__main__":
    raise SystemExit(main())
