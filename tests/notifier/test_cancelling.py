"""A cancelled campaign: nobody new is tried, whoever is on the wire is settled, and everybody is counted once."""

from __future__ import annotations

from sqlalchemy import Engine

from incidents.clock import ManualClock
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries import counters
from notifier.deliveries.batches import Answer, Change
from notifier.deliveries.cancelling import Cancelling
from notifier.deliveries.tables import deliveries
from tests.notifier.batch_desk import Desk, ended, mark, people

REFUSED = Outcome(Verdict.REJECTED, "550 5.1.1")
BUSY = Outcome(Verdict.TEMPORARY, "451 4.3.0")


def sweep(desk: Desk) -> None:
    cancelling = Cancelling(desk.single())
    while cancelling.sweep():
        pass


def told(desk: Desk) -> dict[str, int]:
    found = counters(desk.engine, desk.campaign_id)
    assert found is not None
    desk.check_sums()
    return {name: people for name, people in found.items() if people}


def test_whoever_was_not_tried_is_counted_off_without_a_row(engine: Engine, clock: ManualClock) -> None:
    desk = Desk(engine, clock, people(25))
    cancelling = Cancelling(desk.single())
    assert cancelling.cancel(desk.campaign_id)
    assert not cancelling.cancel(desk.campaign_id), "a second time it has no effect"
    sweep(desk)
    assert told(desk) == {"cancelled": 25}
    assert not desk.rows(deliveries)
    assert desk.book().claim(drill=False, channel="email") is None


def test_what_is_on_the_wire_is_settled_and_the_rest_of_its_batch_called_off(
    engine: Engine, clock: ManualClock
) -> None:
    desk = Desk(engine, clock, people(10))
    book = desk.book()
    batch = desk.claim(book)
    seats = book.seats(batch)
    assert mark(book, batch, seats[3].position) is Answer.DONE
    Cancelling(desk.single()).cancel(desk.campaign_id)
    assert mark(book, batch, seats[9].position) is Answer.RESTS, "nobody else may be written to"
    assert batch.wire_to == seats[3].position
    sweep(desk)
    assert told(desk) == {"open": 10}, "somebody holds them"
    entries = ended(seats[:2], clock) + ended(seats[2:3], clock, REFUSED) + ended(seats[3:4], clock, BUSY)
    book.commit([Change(batch, entries, release=clock.now())])
    sweep(desk)
    assert told(desk) == {"accepted": 2, "failed": 1, "cancelled": 7}
    (again,) = [row for row in desk.rows() if row.state == "cancelled"]
    assert (again.phase, again.code) == ("done", "campaign-cancelled"), "the try that the busy server put off"


def test_no_next_channel_is_tried_and_the_record_says_which(engine: Engine, clock: ManualClock) -> None:
    desk = Desk(engine, clock, people(2, sms=lambda _: True))
    book = desk.book()
    batch = desk.claim(book, "sms")
    seats = book.seats(batch)
    mark(book, batch, batch.last)
    Cancelling(desk.single()).cancel(desk.campaign_id)
    book.commit([Change(batch, ended(seats, clock, REFUSED))])
    assert told(desk) == {"cancelled": 2}
    by_channel = {(row.channel, row.state) for row in desk.rows()}
    assert by_channel == {("sms", "rejected"), ("email", "cancelled")}


def test_attempts_that_wait_for_their_time_are_called_off(engine: Engine, clock: ManualClock) -> None:
    desk = Desk(engine, clock, people(4))
    book = desk.book()
    batch = desk.claim(book)
    seats = book.seats(batch)
    mark(book, batch, batch.last)
    book.commit([Change(batch, ended(seats[:3], clock, BUSY) + ended(seats[3:], clock))])
    assert told(desk) == {"open": 3, "accepted": 1}
    Cancelling(desk.single()).cancel(desk.campaign_id)
    clock.advance(desk.single().timing.hold * 4)
    assert desk.single().claim(10) == [], "they are due, and nobody takes them"
    sweep(desk)
    assert told(desk) == {"accepted": 1, "cancelled": 3}
    assert {row.phase for row in desk.rows()} == {"done"}


def test_a_claim_made_just_before_is_not_written(engine: Engine, clock: ManualClock) -> None:
    desk = Desk(engine, clock, people(1))
    book, single = desk.book(), desk.single()
    batch = desk.claim(book)
    seats = book.seats(batch)
    mark(book, batch, batch.last)
    book.commit([Change(batch, ended(seats, clock, BUSY))])
    clock.advance(single.timing.hold * 4)
    (claim,) = single.claim(10)
    Cancelling(desk.single()).cancel(desk.campaign_id)
    with single.transaction() as moves:
        assert not single.mark_writing(moves, claim, 10.0)
    assert told(desk) == {"cancelled": 1}
