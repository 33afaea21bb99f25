"""Deliveries that are claimed and settled step by step, for tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, insert, select

from incidents.clock import ManualClock
from incidents.record.database import writing
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries import DeliveryBook, Timing
from notifier.deliveries.book import Claim
from notifier.deliveries.moves import Moves, new_delivery
from notifier.deliveries.tables import campaign_recipients, deliveries, delivery_log, sendings
from tests.rows import sending_row

TIMING = Timing(check_delays=(timedelta(seconds=15), timedelta(seconds=60)))
ACCEPTED = Outcome(Verdict.ACCEPTED, provider_id="SM1")


def plan(engine: Engine, clock: ManualClock, people: int = 1, channels: str = "sms,email", first: str = "sms") -> UUID:
    campaign = uuid4()
    ids = [uuid4() for _ in range(people)]
    with writing(engine) as connection:
        connection.execute(insert(sendings).values(sending_row(campaign, clock.now(), planned=True, open=people)))
        for position, person in enumerate(ids, 1):
            connection.execute(
                insert(campaign_recipients).values(
                    campaign_id=campaign,
                    recipient_id=person,
                    position=position,
                    language="en",
                    channels=channels,
                    reference=f"REF{position}",
                    outcome="open",
                )
            )
            connection.execute(insert(deliveries).values(**new_delivery(campaign, person, first, 0, clock.now())))
    return campaign


def book(engine: Engine, clock: ManualClock, worker: str = "a") -> DeliveryBook:
    return DeliveryBook(engine, clock, worker=worker, timing=TIMING)


def do(of: DeliveryBook, step: Callable[[Moves], Any]) -> Any:
    with of.transaction() as moves:
        return step(moves)


def mark(of: DeliveryBook, claim: Claim) -> bool:
    return bool(do(of, lambda moves: of.mark_writing(moves, claim, 10)))


def settle(of: DeliveryBook, claim: Claim, outcome: Outcome, *, reconciles: bool = True) -> None:
    do(of, lambda moves: of.settle(moves, claim, outcome, share=1.0, reconciles=reconciles, receipts=True))


def rows(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(deliveries).order_by(deliveries.c.channel, deliveries.c.repeat)))


def states(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(select(delivery_log.c.state).order_by(delivery_log.c.seq)).scalars())


def ask_in_vain(of: DeliveryBook, clock: ManualClock, **answer: Any) -> None:
    """Ask the provider as often as is asked, and hear of no message each time."""
    for delay in TIMING.check_delays:
        clock.advance(delay + timedelta(seconds=1))
        (check,) = of.claim(10)
        do(of, lambda moves, check=check: of.enter_check(moves, check, [], can_tell=True, **answer))
