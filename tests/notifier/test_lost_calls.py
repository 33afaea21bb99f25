"""Calls whose answer was lost are found by number and time, and each is one delivery's only; when one rings again."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, insert, select, update

from incidents.clock import ManualClock
from incidents.record.database import reading, writing
from notifier.channels.channel import Found
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries import DeliveryBook, sids
from notifier.deliveries.book import Claim
from notifier.deliveries.early import enter_early
from notifier.deliveries.groups import Rules, of_outcome
from notifier.deliveries.tables import campaign_recipients, delivery_log, sendings
from notifier.receipts.tables import receipts
from tests.notifier.claiming import TIMING, book, do, mark, plan, rows, settle

RULES = Rules(TIMING, "at_least_once", reconciles=True, receipts=True, is_temporary=lambda _: False)


def unclear_calls(engine: Engine, clock: ManualClock, mine: DeliveryBook, campaigns: int) -> list[Claim]:
    """So many campaigns, each with one call to the same number whose answer was lost; the checks that are due."""
    for _ in range(campaigns):
        plan(engine, clock, channels="voice", first="voice")
    for claim in mine.claim(10):
        assert mark(mine, claim)
        settle(mine, claim, Outcome(Verdict.AMBIGUOUS, "timeout"))
    clock.advance(timedelta(seconds=16))
    checks = mine.claim(10)
    assert [check.work for check in checks] == ["check"] * campaigns
    return checks


def check_calls(mine: DeliveryBook, check: Claim, found: list[Found]) -> None:
    do(mine, lambda moves: mine.enter_check(moves, check, found, can_tell=True))


def test_a_call_of_another_campaign_is_not_taken_for_one_that_is_unclear(engine: Engine, clock: ManualClock) -> None:
    """Calls are told apart by nothing but number and time: what another delivery is known to have made is not ours."""
    mine = book(engine, clock)
    plan(engine, clock, channels="voice", first="voice")
    (answered,) = mine.claim(10)
    assert mark(mine, answered)
    settle(mine, answered, Outcome(Verdict.ACCEPTED, provider_id="CA-ANSWERED"))
    one, two, three = unclear_calls(engine, clock, mine, 3)
    with writing(engine) as connection:  # the signed callback of a call that this service has no row for any more
        told = {"provider_id": "CA-TOLD", "status": "call-ringing", "delivery_id": uuid4()}
        connection.execute(insert(receipts).values(**told, received_at=clock.now()))
    listed = [Found("CA-ANSWERED", "accepted"), Found("CA-TOLD", "accepted"), Found("CA-FREE", "delivered")]
    for check in (one, two, three):
        check_calls(mine, check, listed)
    by_id = {row.delivery_id: (row.provider_id, row.state) for row in rows(engine)}
    assert by_id[answered.delivery_id][0] == "CA-ANSWERED"
    assert by_id[one.delivery_id] == ("CA-FREE", "delivered")
    assert [by_id[check.delivery_id][0] for check in (two, three)] == [None, None], "one call is one delivery's"


def test_two_that_look_at_once_do_not_take_the_same_call(engine: Engine, clock: ManualClock) -> None:
    start, took = threading.Barrier(4), list[bool]()

    def look(delivery: UUID) -> None:
        start.wait()
        with writing(engine) as connection:
            took.append(sids.claim(connection, "CA-ONE", delivery, clock.now()))

    threads = [threading.Thread(target=look, args=(uuid4(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(took) == [False, False, False, True]


def test_a_call_made_long_after_is_not_the_one_that_was_lost(engine: Engine, clock: ManualClock) -> None:
    """The worker was away; meanwhile somebody called the same number from the same account."""
    mine = book(engine, clock)
    (check,) = unclear_calls(engine, clock, mine, 1)
    late = Found("CA-LATE", "delivered", made_at=clock.now() + timedelta(hours=1))
    clock.advance(timedelta(minutes=1))
    check_calls(mine, check, [late, Found("CA-MINE", "delivered", made_at=clock.now() - timedelta(minutes=1))])
    assert [row.provider_id for row in rows(engine)] == ["CA-MINE"]


def rung(engine: Engine, clock: ManualClock, mine: DeliveryBook) -> tuple[Claim, Claim]:
    """The check of a call whose answer was lost, and another campaign's call to the same number that is on the wire."""
    (lost,) = unclear_calls(engine, clock, mine, 1)
    plan(engine, clock, channels="voice", first="voice")
    (other,) = mine.claim(10)
    assert mark(mine, other)
    return lost, other


def calls(engine: Engine) -> dict[UUID, tuple[str | None, str, str]]:
    return {row.delivery_id: (row.provider_id, row.state, row.phase) for row in rows(engine)}


@pytest.mark.parametrize("by", ["answer", "callback", "late answer"])
def test_a_call_that_was_found_for_one_goes_to_the_other_that_certainly_made_it(
    engine: Engine, clock: ManualClock, by: str
) -> None:
    mine = book(engine, clock)
    lost, other = rung(engine, clock, mine)
    check_calls(mine, lost, [Found("CA-OTHER", "delivered", made_at=clock.now())])
    assert calls(engine)[lost.delivery_id] == ("CA-OTHER", "delivered", "done"), "nobody can know better yet"
    if by == "callback":
        do(mine, lambda moves: mine.receive(moves, other.delivery_id, "CA-OTHER", "accepted", None))
    elif by == "late answer":
        ending = of_outcome(Outcome(Verdict.ACCEPTED, provider_id="CA-OTHER"), RULES, clock.now(), 0.5)
        do(mine, lambda moves: mine.enter_late(moves, other.delivery_id, ending))
    settle(mine, other, Outcome(Verdict.ACCEPTED, provider_id="CA-OTHER"))
    assert enter_early(mine) == 1
    assert enter_early(mine) == 0
    assert calls(engine)[other.delivery_id] == ("CA-OTHER", "accepted", "waiting")
    assert calls(engine)[lost.delivery_id] == (None, "claimed", "checking")
    (again,) = mine.claim(10)
    assert (again.work, again.delivery_id) == ("check", lost.delivery_id)
    check_calls(mine, again, [Found("CA-OTHER", "delivered", made_at=clock.now())])
    assert calls(engine)[lost.delivery_id][:2] == (None, "ambiguous"), "asked for the last time"
    with reading(engine) as connection:
        said = connection.execute(
            select(delivery_log.c.state, delivery_log.c.code)
            .where(delivery_log.c.delivery_id == lost.delivery_id)
            .order_by(delivery_log.c.seq)
        ).all()
        open_or_unclear = [row.outcome for row in connection.execute(select(campaign_recipients)).all()]
    assert [tuple(row) for row in said][1:] == [
        ("delivered", None),
        ("claimed", "other-delivery"),
        ("ambiguous", "other-delivery"),
    ]
    assert "reached" not in open_or_unclear, "the person of the lost call is not counted as told"


def test_a_callback_says_which_call_it_was_although_another_was_found(engine: Engine, clock: ManualClock) -> None:
    mine = book(engine, clock)
    lost, _ = rung(engine, clock, mine)
    check_calls(mine, lost, [Found("CA-WRONG", "delivered", made_at=clock.now())])
    do(mine, lambda moves: mine.receive(moves, lost.delivery_id, "CA-MINE", "undelivered", "busy"))
    row = next(row for row in rows(engine) if row.delivery_id == lost.delivery_id)
    assert (row.provider_id, row.state, row.code) == ("CA-MINE", "undelivered", "busy")
    with reading(engine) as connection:
        assert not sids.of_others(connection, ["CA-WRONG"], uuid4()), "it may be another one's"


def test_what_the_person_said_is_never_taken_back(engine: Engine, clock: ManualClock) -> None:
    mine = book(engine, clock)
    lost, other = rung(engine, clock, mine)
    check_calls(mine, lost, [Found("CA-OTHER", "delivered", made_at=clock.now())])
    do(mine, lambda moves: mine.receive(moves, lost.delivery_id, None, "read", None))
    settle(mine, other, Outcome(Verdict.ACCEPTED, provider_id="CA-OTHER"))
    enter_early(mine)
    assert calls(engine)[lost.delivery_id] == (None, "read", "done")


def test_a_call_whose_answer_may_be_under_way_is_left_to_the_next_question(engine: Engine, clock: ManualClock) -> None:
    mine = book(engine, clock)
    (check,) = unclear_calls(engine, clock, mine, 1)
    made = clock.now() - timedelta(seconds=16)
    found, take = [Found("CA1", "delivered", made_at=made)], timedelta(seconds=30)
    for state in ("claimed", "delivered"):
        do(mine, lambda moves, of=check: mine.enter_check(moves, of, found, can_tell=True, answers_take=take))
        assert rows(engine)[0].state == state
        clock.advance(timedelta(seconds=61))
        check = next(iter(mine.claim(10)), check)


def test_however_often_it_is_put_off_only_calls_of_its_own_time_are_looked_at(
    engine: Engine, clock: ManualClock
) -> None:
    mine = book(engine, clock)
    (check,) = unclear_calls(engine, clock, mine, 1)
    unclear_at = rows(engine)[0].unclear_at
    for _ in range(20):
        do(mine, lambda moves, of=check: mine.put_off(moves, of, timedelta(minutes=14)))
        clock.advance(timedelta(minutes=15))
        (check,) = mine.claim(10)
        assert (check.unclear_at, check.silent_since) == (unclear_at, unclear_at + timedelta(seconds=16))
    check_calls(mine, check, [Found("CA-STAFF", "delivered", made_at=clock.now() - timedelta(minutes=5))])
    clock.advance(timedelta(seconds=61))
    (check,) = mine.claim(10)
    assert (check.checks, check.silent_since) == (1, None), "it answered"
    check_calls(mine, check, [Found("CA-LATER", "delivered", made_at=unclear_at + timedelta(seconds=65))])
    assert next((row.provider_id, row.state) for row in rows(engine)) == (None, "ambiguous")


def test_nobody_is_rung_again_within_minutes_of_being_on_the_telephone(engine: Engine, clock: ManualClock) -> None:
    mine = book(engine, clock)
    plan(engine, clock, channels="voice", first="voice")
    for pause in (timedelta(minutes=5), timedelta(minutes=30)):
        (claim,) = mine.claim(10)
        assert mark(mine, claim)
        settle(mine, claim, Outcome(Verdict.ACCEPTED, provider_id=f"CA{claim.repeat}"))
        do(mine, lambda moves, of=claim: mine.receive(moves, of.delivery_id, None, "undelivered", "busy"))
        clock.advance(pause - timedelta(seconds=1))
        assert mine.claim(10) == []
        clock.advance(timedelta(seconds=2))
    assert len(mine.claim(10)) == 1


def test_a_repeat_does_not_wait_until_the_legal_deadline_is_over(engine: Engine, clock: ManualClock) -> None:
    mine = book(engine, clock)
    plan(engine, clock, channels="voice", first="voice")
    with writing(engine) as connection:
        connection.execute(update(sendings).values(deadline=clock.now() + timedelta(minutes=20)))
    (claim,) = mine.claim(10)
    assert mark(mine, claim)
    settle(mine, claim, Outcome(Verdict.ACCEPTED, provider_id="CA1"))
    do(mine, lambda moves: mine.receive(moves, claim.delivery_id, None, "undelivered", "no-answer"))
    clock.advance(timedelta(minutes=10))
    assert [again.repeat for again in mine.claim(10)] == [1], "half of what is left, not an hour"
