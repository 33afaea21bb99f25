"""Promise 5: kill the sending process at any instruction; afterwards everybody is told, and nobody twice unmarked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from notifier.deliveries import counters
from notifier.standins.outcomes import ordinary_numbers, simulated_number
from tests.notifier.house import FAST, PATIENCE, House, open_house
from tests.nursery import Child, start


def people(count: int) -> list[tuple[str, str, str, str, str]]:
    numbers = ordinary_numbers("GB")
    texts = [(f"T{i}", next(numbers), f"t{i}@example.com", ("en", "zh", "vi")[i % 3], "GB") for i in range(count)]
    mails = [(f"M{i}", "", f"m{i}@example.com", "en", "GB") for i in range(count // 2)]
    odd = [
        ("Odd 1", simulated_number("answer-lost"), "", "en", "GB"),
        ("Odd 2", simulated_number("unknown-handset"), "odd2@example.com", "vi", "GB"),
        ("Odd 3", "", "bounce-5.1.1@example.com", "en", "GB"),
    ]
    return texts + mails + odd


class Worker:
    """The sending process, started and killed as the test likes."""

    def __init__(self, house: House, door: str, name: str = "killed-worker") -> None:
        self._settings = {
            "database": house.database.url.set(drivername=house.database.url.get_backend_name()).render_as_string(
                hide_password=False
            ),
            "twilio_url": house.standins.twilio_url,
            "smtp_port": house.standins.smtp_port,
            "door": door,
            "worker": name,
        }
        self._process: Child | None = None

    async def start(self, die_at: str = "") -> None:
        settings = json.dumps({**self._settings, "die_at": die_at})
        self._process = await asyncio.to_thread(start, "tests.notifier.sending_worker", settings)

    async def died(self, seconds: float) -> bool:
        """Whether it ended by itself within the time."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, seconds)
        return self._process.returncode is not None

    async def kill(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)


def check_everything(house: House, campaign_id: UUID, total: int) -> None:
    """The invariants, whatever was killed when."""
    view = house.notifier.campaigns.view(campaign_id)
    assert sum(view.outcomes.values()) == total
    moves = house.moves(campaign_id)
    once = Counter((move.delivery, move.state) for move in moves)
    assert set(once.values()) == {1}, "each move is on record exactly once"
    marks = Counter(move.recipient for move in moves if move.state == "ambiguous")
    marked = set(marks)
    told = {"accepted", "sent", "delivered"}
    reached = {move.recipient for move in moves if move.state in told}
    # Killed while it was marked, nobody can tell any more whether the first try was refused like the repeat. And who
    # was being written to at kill after kill is given up as unclear in the end.
    given_up = {person for person, times in marks.items() if times > FAST.max_repeats}
    assert view.outcomes["failed"] + view.outcomes["ambiguous"] == total - len(reached)
    bounced = total - len(reached | given_up)
    assert bounced <= 1, "only the address that bounces"
    assert bounced or len(reached) < total, "the address that bounces was not reached"
    # Who got what, as the outside world saw it.
    copies: defaultdict[str, list[str]] = defaultdict(list)
    for message in house.standins.store.messages(limit=1000):
        copies[message.recipient].append(message.message_id)
    twice = {address for address, ids in copies.items() if len(ids) > 1}
    assert len(twice) <= len(marked), f"told twice without a mark: {twice}"
    members = house.notifier.audiences.members(view.audience_id, limit=1000)  # type: ignore[arg-type]
    contacts = house.notifier.vault.read_many(member.recipient_id for member in members)
    for recipient, contact in contacts.items():
        if {contact.phone, contact.email} & twice:
            assert recipient in marked, "told twice without a mark"
    for address in twice:
        assert len(set(copies[address])) == 1, "copies of one email carry one Message-ID"
    assert counters(house.database, campaign_id) == {"open": 0, **view.outcomes}


def run(folder: Path, story: Callable[[House, str], Awaitable[None]]) -> None:
    async def live() -> None:
        async with open_house(folder, worker="door") as house:
            callbacks = house.notifier.receipts._callbacks  # type: ignore[union-attr]
            await story(house, callbacks.public_url)

    asyncio.run(live())


async def finished(house: House, campaign_id: UUID, seconds: float = PATIENCE) -> None:
    """Poll until the other process has recorded the end."""
    deadline = time.monotonic() + seconds
    while house.notifier.campaigns.view(campaign_id).status.value != "finished":
        assert time.monotonic() < deadline, house.deliveries()
        await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        "planned:1",
        "claimed:1",
        "claimed:3",
        "marked:1",
        "marked:6",
        "sent:1",
        "sent:6",
        "settled:1",
        "settled:7",
        "relay-bound:1",
        "relay-bound:3",
        "relay-recorded:1",
        "relay-recorded:3",
        "finish-recorded:1",
    ],
)
def test_killed_at_a_chosen_step(tmp_path: Path, point: str) -> None:
    async def story(house: House, door: str) -> None:
        rows = people(12)
        campaign_id = house.started(rows).campaign_id
        worker = Worker(house, door)
        await worker.start(die_at=point)
        assert await worker.died(PATIENCE), "the step was never reached"
        await worker.start()
        try:
            await finished(house, campaign_id)
        finally:
            await worker.kill()
        check_everything(house, campaign_id, len(rows))

    run(tmp_path, story)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_again_and_again_at_random_moments(tmp_path: Path, seed: int) -> None:
    async def story(house: House, door: str) -> None:
        rng = random.Random(seed)
        rows = people(40)
        campaign_id = house.started(rows).campaign_id
        worker = Worker(house, door)
        for _ in range(6):
            await worker.start(die_at=f"{rng.choice(('marked', 'sent', 'settled', 'claimed'))}:{rng.randint(2, 25)}")
            await worker.died(rng.uniform(1.0, 4.0))
            await worker.kill()
        await worker.start()
        try:
            await finished(house, campaign_id)
        finally:
            await worker.kill()
        check_everything(house, campaign_id, len(rows))

    run(tmp_path, story)


@pytest.mark.slow
def test_two_workers_at_once_share_the_work_and_tell_nobody_twice(tmp_path: Path) -> None:
    async def story(house: House, door: str) -> None:
        rows = people(40)
        campaign_id = house.started(rows).campaign_id
        workers = [Worker(house, door, f"worker-{n}") for n in range(2)]
        await asyncio.gather(*(worker.start() for worker in workers))
        try:
            await finished(house, campaign_id)
        finally:
            await asyncio.gather(*(worker.kill() for worker in workers))
        check_everything(house, campaign_id, len(rows))
        assert not [move for move in house.moves(campaign_id) if move.state == "ambiguous"]

    run(tmp_path, story)
