"""planned = accepted + delivered + failed + suppressed + cancelled + ambiguous + pending, to the last person.

Random histories of one campaign by the real books: batches and single attempts, workers that die, receipts in any
order, a cancellation at any moment. After every step the counters say what the rows say; whenever the projection has
caught up it adds up; and at the end it says the same of everybody as the counters.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

from incidents.record.database import writing
from notifier.campaigns import events as campaigns
from notifier.channels.channel import Found
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries import DeliveryRelay, counters
from notifier.deliveries.batches import Change
from notifier.deliveries.cancelling import Cancelling
from notifier.deliveries.groups import of_outcome, suppressed
from notifier.deliveries.states import Phase
from notifier.deliveries.tables import deliveries, sendings
from projections.coverage.coverage import Outcomes, campaign_coverage
from projections.coverage.fold import Coverage
from projections.runner import Runner
from tests.notifier.batch_desk import Desk, people, rules
from tests.projections.conftest import Installation
from tests.projections.stories import Teller

TRIES = (
    Outcome(Verdict.ACCEPTED, provider_id="SM1"),
    Outcome(Verdict.ACCEPTED, provider_id="SM2", state="sent"),
    Outcome(Verdict.REJECTED, "21211"),
    Outcome(Verdict.TEMPORARY, "451 4.3.0"),
    Outcome(Verdict.AMBIGUOUS, "timeout"),
)
RECEIPTS = ("sent", "delivered", "undelivered", "failed", "read")
PEOPLE = 24
WORKERS = ("a", "b")


class History:
    """One campaign to 24 people, some with two channels, and what may happen to it."""

    def __init__(self, installation: Installation, rng: random.Random) -> None:
        self.installation, self.rng, self.clock = installation, rng, installation.clock
        members = people(PEOPLE, sms=lambda at: at % 3 == 0)
        self.desk = Desk(installation.engine, self.clock, members, size=8)
        self.campaign = self.desk.campaign_id
        with writing(installation.engine) as connection:
            connection.execute(
                update(sendings)
                .where(sendings.c.campaign_id == self.campaign)
                .values(policy=rng.choice(("at_least_once", "at_most_once")))
            )
        self.books = {name: self.desk.book(name) for name in WORKERS}
        self.singles = {name: self.desk.single(name) for name in WORKERS}
        self.cancelling = Cancelling(self.desk.single())
        self.relay = DeliveryRelay(installation.engine, installation.record, self.clock, moves_per_event=7)
        self.runner = Runner(installation.record, installation.engine, [Coverage()], self.clock)
        self._announce()

    def _announce(self) -> None:
        teller, incident_id = Teller(self.installation.record, self.clock), uuid4()

        def tell(event: Any, **payload: Any) -> None:
            teller.tell(self.campaign, event, incident_id=incident_id, **payload)

        tell(campaigns.CampaignDrafted, template="t", template_version="1", values={})
        by_channel = {"email": PEOPLE, "sms": PEOPLE // 3}
        attached: dict[str, Any] = {"by_language": {"en": PEOPLE}, "by_channel": by_channel, "audience_digest": "a"}
        tell(campaigns.AudienceAttached, audience_id=uuid4(), recipients=PEOPLE, **attached)
        tell(campaigns.CampaignStarted, recipients=PEOPLE)

    # -- what may happen -------------------------------------------------------------------------------

    def batch(self) -> None:
        """A worker takes a batch, writes to some and dies, or enters what came of them and gives the rest back."""
        book = self.books[self.rng.choice(WORKERS)]
        batch = book.claim(drill=False, channel=self.rng.choice(("sms", "email")))
        if batch is None:
            return
        seats = book.seats(batch)
        some = seats[: self.rng.randint(0, len(seats))]
        if some:
            book.commit([Change(batch, wire_to=some[-1].position)])
        entered = some[: self.rng.randint(0, len(some))] if batch.wire_to >= seats[0].position else []
        of = rules(reconciles=batch.channel == "sms", receipts=batch.channel == "sms", policy=batch.policy)
        endings = [
            suppressed("stop", self.clock.now())
            if self.rng.random() < 0.15
            else of_outcome(self.rng.choice(TRIES), of, self.clock.now(), 1.0)
            for _ in entered
        ]
        gives_back = len(entered) == len(some) or batch.wire_to < seats[0].position
        release = self.clock.now() if gives_back else None
        book.commit([Change(batch, list(zip(entered, endings, strict=True)), release=release)])

    def singles_due(self) -> None:
        """A worker takes what is due and tries, checks or asks; now and then it dies in between."""
        book = self.singles[self.rng.choice(WORKERS)]
        for claim in book.claim(self.rng.randint(1, 6)):
            if self.rng.random() < 0.1:
                continue  # died with the claim
            found = Found("SM9", self.rng.choice(("sent", "delivered", "undelivered")), None)  # type: ignore[arg-type]
            with book.transaction() as moves:
                if claim.work == "check":
                    can_tell = claim.channel == "sms"
                    book.enter_check(moves, claim, [found] if self.rng.random() < 0.3 else [], can_tell=can_tell)
                elif claim.work == "poll":
                    book.enter_poll(moves, claim, found if self.rng.random() < 0.5 else None)
                elif self.rng.random() < 0.1:
                    book.fail(moves, claim, "stop", state="suppressed")
                elif book.mark_writing(moves, claim, 10.0) and self.rng.random() < 0.9:
                    self._settle(book, moves, claim)

    def _settle(self, book: Any, moves: Any, claim: Any) -> None:
        asks = claim.channel == "sms"
        book.settle(moves, claim, self.rng.choice(TRIES), share=1.0, reconciles=asks, receipts=asks)

    def receipt(self) -> None:
        """News of some attempt, true or late."""
        written = [row for row in self.desk.rows(deliveries) if row.state not in {"planned", "cancelled", "suppressed"}]
        if written:
            row, book = self.rng.choice(written), self.singles["a"]
            with book.transaction() as moves:
                book.receive(moves, row.delivery_id, row.provider_id, self.rng.choice(RECEIPTS), None)  # type: ignore[arg-type]

    def time_passes(self) -> None:
        self.clock.advance(timedelta(minutes=self.rng.choice((1, 10, 90))))
        for name in WORKERS:
            self.singles[name].reap()
            self.books[name].reap()

    def sweep(self) -> None:
        self.cancelling.sweep()

    def project(self) -> Outcomes:
        while self.relay.run_once():
            pass
        self.runner.drain()
        found = campaign_coverage(self.installation.engine, self.campaign)
        o = found.outcomes
        parts = (o.accepted, o.delivered, o.failed, o.suppressed, o.cancelled, o.ambiguous, o.pending)
        assert sum(parts) == o.planned == PEOPLE
        assert min(parts) >= 0, o
        for name in ("accepted", "delivered", "failed", "suppressed", "cancelled", "ambiguous"):
            for split in (found.by_channel, found.by_language):
                assert sum(getattr(counts, name) for counts in split.values()) == getattr(o, name)
        return o

    # -- and to the end --------------------------------------------------------------------------------

    def live(self, steps: int, *, cancelled: bool = False) -> None:
        may: tuple[Callable[[], Any], ...] = (
            *(self.batch,) * 4,
            *(self.singles_due,) * 4,
            *(self.receipt,) * 3,
            *(self.time_passes,) * 2,
            self.sweep,
            self.project,
        )
        for step in range(steps):
            self.rng.choice(may)()
            if cancelled and step == steps // 2:
                self.cancelling.cancel(self.campaign)
            self.desk.check_sums()

    def end(self) -> None:
        for _ in range(400):
            told = counters(self.installation.engine, self.campaign)
            assert told is not None
            if not told["open"]:
                break
            for step in (self.time_passes, self.batch, self.singles_due, self.sweep):
                step()
                self.desk.check_sums()
        else:
            raise AssertionError(f"it never ends: {told}")
        assert not [row for row in self.desk.rows(deliveries) if row.phase == Phase.READY]
        o = self.project()
        said = {**told, "delivered": told["reached"]}
        assert o.model_dump() == {
            "planned": PEOPLE,
            "pending": 0,
            **{name: said[name] for name in Outcomes.model_fields if name not in {"planned", "pending"}},
        }


@pytest.mark.parametrize("cancelled", [False, True])
def test_everybody_is_counted_once_whatever_happens(installation: Installation, cancelled: bool) -> None:
    history = History(installation, random.Random(3))
    history.live(40, cancelled=cancelled)
    history.end()


@pytest.mark.slow
def test_in_many_histories(installation: Installation) -> None:
    met: set[str] = set()
    for seed in range(100, 106) if installation.engine.dialect.name == "sqlite" else (100, 101):
        history = History(installation, random.Random(seed))
        history.live(60, cancelled=seed % 2 == 0)
        history.end()
        told = counters(installation.engine, history.campaign) or {}
        met |= {name for name, number in told.items() if number}
    assert met >= {"accepted", "failed", "ambiguous", "cancelled"}
