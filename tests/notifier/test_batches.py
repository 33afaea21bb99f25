"""Batches of first attempts: held by one worker at a time, fenced, marked before the wire, entered by the group."""

from __future__ import annotations

import random
import threading
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text, update

from incidents.clock import ManualClock
from incidents.record.database import reading, writing
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries import BatchRef, counters
from notifier.deliveries.batches import Answer, Batch, BatchBook, Change
from notifier.deliveries.groups import Seat, given_up, of_outcome, unpacked, untouched
from notifier.deliveries.moves import Moves, person_key
from notifier.deliveries.order import ChannelOrder
from notifier.deliveries.tables import campaign_recipients, delivery_batches, delivery_log, sendings
from tests.notifier.batch_desk import TIMING, Desk, ended, mark, people, rules, send_all

REFUSED = Outcome(Verdict.REJECTED, code="550 5.1.1")


def test_an_audience_is_cut_by_position_and_first_channel(engine: Engine, clock: ManualClock) -> None:
    desk = Desk(engine, clock, people(25, sms=lambda at: at % 5 == 0))
    cut = [(row.number, row.channel, row.first, row.last, row.recipients) for row in desk.batches()]
    assert cut == [
        (1, "email", 1, 10, 8),
        (2, "sms", 1, 10, 2),
        (3, "email", 11, 20, 8),
        (4, "sms", 11, 20, 2),
        (5, "email", 21, 25, 4),
        (6, "sms", 21, 25, 1),
    ]
    assert desk.rows(campaign_recipients) == [], "nobody has a row before the first outcome"
    desk.check_sums()


def test_workers_that_claim_at_once_never_get_the_same_batch(engine: Engine, clock: ManualClock) -> None:
    desk = Desk(engine, clock, people(200), size=4)
    got: dict[str, list[BatchRef]] = {name: [] for name in "abcd"}
    start = threading.Barrier(4)

    def work(name: str) -> None:
        book = desk.book(name)
        start.wait()
        while batch := book.claim(drill=False, channel="email"):
            got[name].append(batch.ref)

    threads = [threading.Thread(target=work, args=(name,)) for name in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed = [ref for refs in got.values() for ref in refs]
    assert (len(claimed), len(set(claimed))) == (50, 50)


def test_everybody_of_a_group_is_entered_by_one_commit(engine: Engine, clock: ManualClock) -> None:
    desk = Desk(engine, clock, people(10))
    book = desk.book()
    batch = desk.claim(book)
    assert mark(book, batch, batch.last) is Answer.DONE
    seats = book.seats(desk_again(batch, 0))
    refused, accepted = seats[:2], seats[2:]
    entries = ended(accepted, clock) + ended(refused, clock, REFUSED)
    assert book.commit([Change(batch, entries)]) == [Answer.DONE]
    assert counters(engine, desk.campaign_id) == {
        "open": 0,
        "reached": 0,
        "accepted": 8,
        "failed": 2,
        "ambiguous": 0,
        "suppressed": 0,
        "cancelled": 0,
    }
    assert Counter(row.state for row in desk.rows()) == {"accepted": 8, "rejected": 2}
    assert [row.state for row in desk.batches()] == ["done"]
    with reading(engine) as connection:
        (logged,) = connection.execute(select(delivery_log)).all()
    moves = list(unpacked(logged.moves, logged.channel, logged.at))
    assert logged.moved == len(moves) == 20
    assert Counter(move.state for move in moves) == {"claimed": 10, "accepted": 8, "rejected": 2}
    assert {move.recipient for move in moves} == {member.recipient_id for member in desk.audience.people}
    desk.check_sums()


def desk_again(batch: Batch, wire_to: int) -> Batch:
    """The same claim as it stood before the mark."""
    return Batch(
        batch.ref,
        batch.channel,
        batch.last,
        batch.fence,
        batch.claimed_at,
        batch.trusted_until,
        wire_to,
        batch.drill,
        batch.policy,
        batch.audience_id,
        batch.order,
    )


def test_a_batch_that_was_taken_over_can_neither_be_marked_nor_counted(engine: Engine, clock: ManualClock) -> None:
    """Two workers believe they hold it; only the one with the newest fence may write or count."""
    desk = Desk(engine, clock, people(10))
    slow, other = desk.book("slow"), desk.book("other")
    old = desk.claim(slow)
    seats = slow.seats(old)
    assert mark(slow, old, 4) is Answer.DONE
    assert other.claim(drill=False, channel="email") is None, "held"
    clock.advance(TIMING.lease + timedelta(seconds=1))
    assert other.reap() == 1
    new = desk.claim(other)
    assert (new.fence > old.fence, new.wire_to) == (True, 4)
    assert mark(slow, old, 8) is Answer.LOST
    uncertain = ended(seats[2:4], clock, Outcome(Verdict.TEMPORARY, "450"))
    assert slow.commit([Change(old, ended(seats[:1], clock) + ended(seats[1:2], clock, REFUSED) + uncertain)]) == [
        Answer.LOST
    ]
    by_id = {row.recipient_id: (row.state, row.phase) for row in desk.rows()}
    assert by_id[seats[0].recipient_id] == ("accepted", "done"), "what is certain is welcome from whoever has it"
    assert by_id[seats[1].recipient_id] == ("rejected", "done")
    assert by_id[seats[2].recipient_id] == ("claimed", "checking"), "what is not certain changes nothing"
    assert len(by_id) == 4
    assert [seat.position for seat in other.seats(new)] == [5, 6, 7, 8, 9, 10]
    assert send_all(other, new, clock) is Answer.DONE
    desk.check_sums()


def test_late_news_of_several_batches_locks_people_in_one_order(
    engine: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(engine, clock, people(8), size=4)
    slow, other = desk.book("slow"), desk.book("other")
    old = [desk.claim(slow), desk.claim(slow)]
    seats = [slow.seats(batch) for batch in old]
    for batch in old:
        assert mark(slow, batch, batch.last) is Answer.DONE
    clock.advance(TIMING.lease + timedelta(seconds=1))
    assert other.reap() == 2
    locked: list[bytes] = []
    lock = Moves.lock_person

    def seen(moves: Moves, campaign_id: UUID, recipient_id: UUID) -> Any:
        locked.append(person_key(campaign_id, recipient_id))
        return lock(moves, campaign_id, recipient_id)

    monkeypatch.setattr(Moves, "lock_person", seen)
    changes = [Change(batch, ended(mine, clock)) for batch, mine in zip(old, seats, strict=True)]
    assert slow.commit(changes) == [Answer.LOST, Answer.LOST]
    assert locked == sorted(locked)
    assert len(set(locked)) == 8


def test_a_call_is_looked_for_from_when_it_was_tried_and_not_from_when_its_batch_was_claimed(
    engine: Engine, clock: ManualClock
) -> None:
    desk = Desk(engine, clock, people(2), size=2)
    book = desk.book()
    batch = desk.claim(book)
    seats = book.seats(batch)
    assert mark(book, batch, batch.last) is Answer.DONE
    clock.advance(timedelta(minutes=1))
    tried = clock.now() - timedelta(seconds=20)
    lost = of_outcome(Outcome(Verdict.AMBIGUOUS), rules(reconciles=True), clock.now(), 1.0, tried_at=tried)
    book.commit([Change(batch, [(seats[0], lost)])])
    clock.advance(TIMING.lease + timedelta(hours=5))
    assert desk.book("other").reap() == 1
    by_id = {row.delivery_id: row for row in desk.rows()}
    first, second = (by_id[seat.delivery_id] for seat in seats)
    assert (first.written_at, first.unclear_at) == (tried, tried + timedelta(seconds=20))
    assert second.written_at == batch.claimed_at
    assert second.unclear_at < clock.now() - timedelta(hours=4), "when its holder's right ended, not when that was seen"


def test_after_a_kill_only_those_on_the_wire_are_unclear(engine: Engine, clock: ManualClock) -> None:
    """Marked up to 6, outcomes of 1, 2 and 5 entered: 3, 4 and 6 are to be checked, 7 to 10 were never touched."""
    desk = Desk(engine, clock, people(10))
    first = desk.book("dead")
    batch = desk.claim(first)
    seats = first.seats(batch)
    mark(first, batch, 6)
    first.commit([Change(batch, ended([seats[0], seats[1], seats[4]], clock))])
    desk.check_sums()
    assert desk.book("stranger").reap() == 0, "its lease has not run out"
    assert desk.book("dead").reap(own=True) == 1, "under its own name it comes back at once"
    checking = {row.recipient_id for row in desk.rows() if row.phase == "checking"}
    assert checking == {seats[at].recipient_id for at in (2, 3, 5)}
    assert all(row.written_at is not None for row in desk.rows() if row.phase == "checking")
    reborn = desk.book("dead")
    assert [seat.position for seat in reborn.seats(desk.claim(reborn))] == [7, 8, 9, 10]
    desk.check_sums()
    assert desk.logged() == 3 * 2 + 3, "those in the check have begun, once"


def test_a_commit_that_is_made_again_enters_nobody_twice(engine: Engine, clock: ManualClock) -> None:
    """The answer to a commit was lost: it may have been made or not."""
    desk = Desk(engine, clock, people(10))
    book = desk.book()
    batch = desk.claim(book)
    seats = book.seats(batch)
    mark(book, batch, 6)
    change = Change(batch, ended(seats[:4], clock), wire_to=8)
    assert book.commit([change]) == [Answer.DONE]
    with pytest.raises(engine.dialect.loaded_dbapi.IntegrityError):
        book.commit([change])
    more = Change(batch, ended(seats[:6], clock), wire_to=8)
    assert book.commit([more], again=True) == [Answer.DONE]
    assert len(desk.rows()) == 6
    desk.check_sums()


def test_a_held_campaign_lets_nobody_else_be_written(engine: Engine, clock: ManualClock) -> None:
    desk = Desk(engine, clock, people(20))
    book, other = desk.book("a"), desk.book("b")
    mine, theirs = desk.claim(book), desk.claim(other)
    seats, others = book.seats(mine), other.seats(theirs)
    mark(book, mine, 5)
    mark(other, theirs, 15)
    fault = ended(seats[:1], clock, Outcome(Verdict.CAMPAIGN_FAULT, "535"))
    assert book.commit([Change(mine, fault, wire_to=8)]) == [Answer.RESTS]
    assert mark(other, theirs, 18) is Answer.RESTS, "another worker hears of it at its next mark"
    assert other.commit([Change(theirs, ended(others[:5], clock))]) == [Answer.RESTS], (
        "outcomes are entered all the same"
    )
    gone = [(seat, untouched(clock.now())) for seat in seats[1:5]]
    book.commit([Change(mine, gone, release=clock.now())])
    other.commit([Change(theirs, release=clock.now())])
    assert book.claim(drill=False, channel="email") is None, "held"
    assert [row.wire_to for row in desk.batches()] == [5, 15]
    clock.advance(TIMING.hold + timedelta(seconds=1))
    assert book.claim(drill=False, channel="email") is not None
    desk.check_sums()


def test_a_claim_is_renewed_while_its_worker_lives_and_told_when_it_is_lost(engine: Engine, clock: ManualClock) -> None:
    desk = Desk(engine, clock, people(20))
    mine, other = desk.book("mine"), desk.book("other")
    kept, lost = desk.claim(mine), desk.claim(mine)
    for _ in range(3):
        clock.advance(TIMING.lease - timedelta(seconds=10))
        assert mine.renew([kept, lost]) == []
        assert other.reap() == 0
    clock.advance(TIMING.lease - timedelta(seconds=10))
    mine.renew([kept])
    clock.advance(timedelta(seconds=20))
    assert other.reap() == 1
    assert mine.renew([kept, lost]) == [lost]


def test_one_that_cannot_be_taken_over_holds_up_no_other(engine: Engine, clock: ManualClock) -> None:
    """More of them than fit a page, and all of them first in line."""
    desk = Desk(engine, clock, people(130), size=1)
    book, other = desk.book("dead"), desk.book("other")
    for _ in range(130):
        batch = desk.claim(book)
        mark(book, batch, batch.last)
    clock.advance(TIMING.lease + timedelta(seconds=1))
    takes_over = other._take_over

    def only_the_last(row: object, *, own: bool) -> int:
        if row.number <= 120:  # type: ignore[attr-defined]
            raise OSError("something is wrong with this one")
        return takes_over(row, own=own)  # type: ignore[arg-type]

    other._take_over = only_the_last  # type: ignore[method-assign,assignment]
    assert other.reap() == 10
    assert Counter(row.state for row in desk.batches()) == {"held": 120, "done": 10}


def test_a_few_people_do_not_wait_behind_many(engine: Engine, clock: ManualClock) -> None:
    desk = Desk(engine, clock, people(100))
    desk.audience.people = people(3)
    urgent = desk.start()
    assert desk.claim(desk.book()).campaign_id == urgent


def test_people_without_any_channel_are_a_batch_too(engine: Engine, clock: ManualClock) -> None:
    """A page of nobody who can be reached is no empty page: the cursor decides when all are planned."""
    nobody = people(1)[0].__class__
    from uuid import uuid4

    members = [nobody(at, uuid4(), "en", "GB", False, at > 30) for at in range(1, 36)]
    desk = Desk(engine, clock, members, size=4)
    assert sum(row.recipients for row in desk.batches()) == 35
    book = desk.book()
    while batch := book.claim(drill=False, channel="none", others=["sms", "email"]):
        seats = book.seats(batch)
        mark(book, batch, batch.last)
        book.commit([Change(batch, [(seat, given_up("no-channel", clock.now())) for seat in seats])])
    while batch := book.claim(drill=False, channel="email"):
        send_all(book, batch, clock)
    assert counters(engine, desk.campaign_id) == {
        "open": 0,
        "reached": 0,
        "accepted": 5,
        "failed": 30,
        "ambiguous": 0,
        "suppressed": 0,
        "cancelled": 0,
    }
    desk.check_sums()


class Told:
    """Hints in a list; some are lost."""

    def __init__(self) -> None:
        self.published: list[BatchRef] = []
        self.waiting: list[BatchRef] = []

    def publish(self, batches: object) -> None:
        self.published += batches  # type: ignore[operator]

    def next(self) -> BatchRef | None:
        return self.waiting.pop(0) if self.waiting else None


def test_a_hint_is_followed_a_lost_one_is_found_and_a_stale_one_harmless(engine: Engine, clock: ManualClock) -> None:
    hints, now = Told(), [100.0]
    desk = Desk(engine, clock, [])
    desk.audience.people = people(40, sms=lambda at: at > 30)
    desk.start(hints=hints)
    assert [ref.number for ref in hints.published] == [1, 2, 3, 4]
    book = desk.book(hints=hints, uptime=lambda: now[0])
    hints.waiting = [BatchRef(desk.campaign_id, 4), BatchRef(desk.campaign_id, 3), BatchRef(UUID(int=5), 1)]
    assert desk.claim(book).ref.number == 3, "of this lane"
    assert desk.claim(book, "sms").ref.number == 4, "kept for its own lane"
    hints.waiting = [BatchRef(desk.campaign_id, 3)]
    assert {desk.claim(book).campaign_id for _ in range(2)} == {desk.campaign_id}, "number 3 is held: look for others"
    assert book.claim(drill=False, channel="sms") is None
    assert book.claim(drill=False, channel="email") is None, "each lane looks for itself"
    assert book.has_work()
    with writing(engine) as connection:
        connection.execute(
            update(delivery_batches).where(delivery_batches.c.number == 2).values(state="ready", owner=None)
        )
    assert book.claim(drill=False, channel="email") is None, "it has just looked"
    now[0] += TIMING.look.total_seconds() + 1
    assert book.claim(drill=False, channel="sms") is None, "another lane looks first"
    assert desk.claim(book).ref.number == 2, "a lost hint is found by looking"


def test_a_flood_of_stale_hints_keeps_nobody_from_looking(engine: Engine, clock: ManualClock) -> None:
    hints = Told()
    desk = Desk(engine, clock, people(20))
    book = desk.book(hints=hints)
    hints.waiting = [BatchRef(UUID(int=number), 1) for number in range(1_000)]

    assert desk.claim(book).ref.number == 1
    assert len(hints.waiting) > 900, "the rest is looked at later"


def test_a_claim_costs_the_same_however_many_batches_are_done(engine: Engine, clock: ManualClock) -> None:
    """The question for the next batch must not read what is done or waiting behind."""
    desk = Desk(engine, clock, people(1))
    with writing(engine) as connection:
        for number in range(2, 600):
            connection.execute(
                text(
                    "INSERT INTO delivery_batches (campaign_id, number, channel, first, last, recipients, state, "
                    "due_at, wire_to, settled, fence) SELECT campaign_id, :number, channel, first, last, recipients, "
                    "'done', due_at, wire_to, settled, fence FROM delivery_batches WHERE number = 1"
                ),
                {"number": number},
            )
    book = desk.book()
    lane = delivery_batches.c.channel == "email"
    with reading(engine) as connection:
        question = book._claims._sendings(False, lane).compile(
            dialect=engine.dialect, compile_kwargs={"literal_binds": engine.dialect.name == "sqlite"}
        )
        if engine.dialect.name == "sqlite":
            plan = " ".join(str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {question}"))
            assert "ix_delivery_batches_ready" in plan, plan


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_everybody_is_entered_once_and_the_counters_add_up(
    engine: Engine, clock: ManualClock, seed: int
) -> None:
    """Workers claim, mark, enter, die, come back late; at every moment planned = the sum of all outcomes."""
    rng = random.Random(seed)
    desk = Desk(engine, clock, people(60, sms=lambda at: at % 7 == 0), size=9)
    holds: list[tuple[BatchBook, Batch, list[Seat], int]] = []
    outcomes = [None, REFUSED, Outcome(Verdict.TEMPORARY, "450"), Outcome(Verdict.AMBIGUOUS, "timeout")]
    for step in range(400):
        book = desk.book(f"w{step}")
        action = rng.choice(("claim", "claim", "mark", "enter", "enter", "reap", "release"))
        if action == "claim" or not holds:
            batch = book.claim(drill=False, channel=rng.choice(("sms", "email")))
            if batch is not None:
                holds.append((book, batch, book.seats(batch), 0))
        elif action == "reap":
            clock.advance(TIMING.lease / 2)
            book.reap()
        else:
            at = rng.randrange(len(holds))
            owner, batch, seats, marked = holds[at]
            if action == "mark" and marked < len(seats):
                marked = min(marked + rng.randint(1, 4), len(seats))
                answer = mark(owner, batch, seats[marked - 1].position)
                holds[at] = (owner, batch, seats, marked)
            elif action == "enter":
                some = seats[: rng.randint(0, marked)]
                answer = owner.commit([Change(batch, ended(some, clock, rng.choice(outcomes)))])[0]
                holds[at] = (owner, batch, seats[len(some) :], marked - len(some))
            elif action == "release" and marked == 0:
                answer = owner.commit([Change(batch, release=clock.now())])[0]
                del holds[at]
            else:
                continue
            if answer is Answer.LOST and action != "release":
                del holds[at]
        desk.check_sums()
    clock.advance(TIMING.lease * 2)
    last = desk.book("last")
    last.reap()
    for channel in ("sms", "email"):
        while batch := last.claim(drill=False, channel=channel):
            send_all(last, batch, clock)
    assert {row.state for row in desk.batches()} == {"done"}
    assert len({row.recipient_id for row in desk.rows(campaign_recipients)}) == 60
    desk.check_sums()


def test_a_sending_of_the_version_before_goes_on_by_batches(engine: Engine, clock: ManualClock) -> None:
    """Half planned, row by row, when the program was replaced: the rest is cut into batches, with an order kept."""
    desk = Desk(engine, clock, people(30))
    with writing(engine) as connection:
        connection.execute(delivery_batches.delete())
        connection.execute(
            update(sendings).values(planned=False, planned_to=20, open=20, batches=0, channel_order=None)
        )
    while desk.planner().plan_page():
        pass
    assert [(row.first, row.last) for row in desk.batches()] == [(21, 30)]
    told = counters(engine, desk.campaign_id)
    assert told is not None
    assert told["open"] == 30
    assert desk.claim(desk.book()).order == ChannelOrder()
