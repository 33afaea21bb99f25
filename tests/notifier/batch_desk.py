"""A campaign cut into batches and the books of workers on it, without channels, for the tests of batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, func, insert, select

from incidents.clock import Clock, ManualClock
from incidents.record.database import writing
from notifier.audience import Audiences, Member
from notifier.campaigns.events import DeliveryPolicy
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries import BatchBook, BatchHints, DeliveryBook, Planner, Timing, counters
from notifier.deliveries.batches import Answer, Batch, Change
from notifier.deliveries.groups import Ending, Rules, Seat, of_outcome
from notifier.deliveries.tables import campaign_recipients, deliveries, delivery_batches, delivery_log, sendings

TIMING = Timing(check_delays=(timedelta(seconds=15), timedelta(seconds=60)))
KEY = b"a key for the codes in notices"


@dataclass
class MadeAudience:
    """An audience in memory, in the place of the imported ones."""

    people: list[Member]
    broken: bool = False
    asked: list[tuple[int, int]] = field(default_factory=list)

    def members(self, _audience_id: UUID, *, after: int = 0, limit: int = 500) -> list[Member]:
        if self.broken:
            raise OSError("this audience cannot be read")
        self.asked.append((after, limit))
        return [member for member in self.people if member.position > after][:limit]


def people(count: int, *, sms: Callable[[int], bool] = lambda _: False, start: int = 1) -> list[Member]:
    """So many people with email, some with a phone too."""
    return [Member(at, uuid4(), "en", "GB", sms(at), True) for at in range(start, start + count)]


class Desk:
    """One database, one campaign at a time in `campaign_id`, and books for as many workers as wanted."""

    def __init__(self, engine: Engine, clock: Clock, members: Sequence[Member], *, size: int = 10) -> None:
        self.engine = engine
        self.clock = clock
        self.audience = MadeAudience(list(members))
        self.size = size
        self.campaign_id = self.start()

    def start(self, *, policy: DeliveryPolicy = "at_least_once", hints: BatchHints | None = None) -> UUID:
        """Open a sending to the audience and cut all its batches."""
        self.campaign_id = uuid4()
        with writing(self.engine) as connection:
            connection.execute(
                insert(sendings).values(
                    campaign_id=self.campaign_id,
                    incident_id=uuid4(),
                    audience_id=uuid4(),
                    started_reference=f"event:{self.campaign_id}/5",
                    started_at=self.clock.now(),
                    drill=False,
                    policy=policy,
                    channel_order="sms,email",
                )
            )
        planner = self.planner(hints=hints)
        while planner.plan_page():
            pass
        return self.campaign_id

    def planner(self, *, hints: BatchHints | None = None) -> Planner:
        record: Any = None  # asked only when a campaign is opened
        audiences: Any = self.audience
        return Planner(self.engine, record, audiences, self.clock, batch_size=self.size, hints=hints)

    def book(self, worker: str = "a", *, hints: BatchHints | None = None, uptime: Any = None) -> BatchBook:
        audiences: Any = self.audience
        more = {} if uptime is None else {"uptime": uptime}
        return BatchBook(self.single(worker), _as_audiences(audiences), reference_key=KEY, hints=hints, **more)

    def single(self, worker: str = "a") -> DeliveryBook:
        """The book of what does not end at the first attempt."""
        return DeliveryBook(self.engine, self.clock, worker=worker, timing=TIMING)

    def claim(self, book: BatchBook, channel: str = "email") -> Batch:
        batch = book.claim(drill=False, channel=channel)
        assert batch is not None
        return batch

    def rows(self, table: Any = deliveries) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(table).where(table.c.campaign_id == self.campaign_id)))

    def batches(self) -> list[Any]:
        return sorted(self.rows(delivery_batches), key=lambda row: row.number)

    def check_sums(self) -> None:
        """Planned = what the counters say, and the counters are what the rows say."""
        told = counters(self.engine, self.campaign_id)
        assert told is not None
        persons = Counter(row.outcome for row in self.rows(campaign_recipients))
        entered = sum(row.settled for row in self.batches())
        planned = sum(row.recipients for row in self.batches())
        assert planned == len(self.audience.people) == sum(told.values())
        assert entered == sum(persons.values())
        untried = sum(row.cancelled for row in self.batches())
        assert told["open"] == persons["open"] + planned - entered - untried
        assert told["cancelled"] == persons["cancelled"] + untried
        others = told.keys() - {"open", "cancelled"}
        assert {name: told[name] for name in others} == {name: persons[name] for name in others}

    def logged(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.coalesce(func.sum(delivery_log.c.moved), 0))).scalar_one())


def _as_audiences(audience: Any) -> Audiences:
    found: Audiences = audience
    return found


def rules(*, reconciles: bool = False, receipts: bool = False, policy: DeliveryPolicy = "at_least_once") -> Rules:
    return Rules(TIMING, policy, reconciles, receipts, lambda _code: False)


def ended(seats: Sequence[Seat], clock: Clock, outcome: Outcome | None = None) -> list[tuple[Seat, Ending]]:
    """What came of these: by default all were accepted."""
    given = outcome or Outcome(Verdict.ACCEPTED, provider_id="m@harbour.example")
    return [(seat, of_outcome(given, rules(), clock.now(), 1.0)) for seat in seats]


def mark(book: BatchBook, batch: Batch, to: int) -> Answer:
    """Let everybody up to a position be written."""
    return book.commit([Change(batch, wire_to=to)])[0]


def send_all(book: BatchBook, batch: Batch, clock: ManualClock) -> Answer:
    """Mark, send and enter everybody left of a batch."""
    seats = book.seats(batch)
    mark(book, batch, batch.last)
    return book.commit([Change(batch, ended(seats, clock))])[0]
