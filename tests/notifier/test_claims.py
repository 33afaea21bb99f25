"""Claims: one at a time, fenced, taken over from the dead; no step under an old claim has effect."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, insert, select, update

from incidents.clock import ManualClock
from incidents.record.database import open_engine, reading, writing
from notifier.channels.channel import Found
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries import DeliveryBook, Timing, counters, in_trouble, sids
from notifier.deliveries.book import Claim
from notifier.deliveries.early import enter_early
from notifier.deliveries.filtering import FilterWatch
from notifier.deliveries.groups import Rules, of_outcome
from notifier.deliveries.moves import Moves, new_delivery
from notifier.deliveries.states import Phase
from notifier.deliveries.tables import campaign_recipients, deliveries, delivery_log, sendings
from notifier.receipts.tables import receipts
from tests.notifier.house import create_tables

TIMING = Timing(check_delays=(timedelta(seconds=15), timedelta(seconds=60)))
ACCEPTED = Outcome(Verdict.ACCEPTED, provider_id="SM1")
RULES = Rules(TIMING, "at_least_once", reconciles=True, receipts=True, is_temporary=lambda _: False)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url)
    create_tables(opened)
    yield opened
    opened.dispose()


def plan(engine: Engine, clock: ManualClock, people: int = 1, channels: str = "sms,email", first: str = "sms") -> UUID:
    campaign = uuid4()
    ids = [uuid4() for _ in range(people)]
    with writing(engine) as connection:
        connection.execute(
            insert(sendings).values(
                campaign_id=campaign,
                incident_id=uuid4(),
                audience_id=uuid4(),
                started_reference=f"event:{campaign}/5",
                started_at=clock.now(),
                drill=False,
                policy="at_least_once",
                planned=True,
                open=people,
            )
        )
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


def test_workers_that_claim_at_once_never_get_the_same_delivery(engine: Engine, clock: ManualClock) -> None:
    plan(engine, clock, people=200)
    got: dict[str, list[UUID]] = {name: [] for name in "abcd"}
    start = threading.Barrier(4)

    def work(name: str) -> None:
        mine = book(engine, clock, name)
        start.wait()
        while claims := mine.claim(7):
            got[name] += [claim.delivery_id for claim in claims]

    threads = [threading.Thread(target=work, args=(name,)) for name in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed = [delivery for ids in got.values() for delivery in ids]
    assert (len(claimed), len(set(claimed))) == (200, 200)


def test_a_claim_that_ran_out_gives_no_right_to_write(engine: Engine, clock: ManualClock) -> None:
    plan(engine, clock)
    slow, other = book(engine, clock, "slow"), book(engine, clock, "other")
    (old,) = slow.claim(10)
    assert other.claim(10) == [], "held"
    clock.advance(TIMING.lease + timedelta(seconds=1))
    assert other.reap() == 1
    (new,) = other.claim(10)
    assert new.fence > old.fence
    assert mark(slow, old) is False
    assert mark(other, new) is True
    settle(slow, old, Outcome(Verdict.TEMPORARY, "late"))
    assert rows(engine)[0].phase == "writing", "an old claim's answer that says nothing certain changes nothing"
    settle(other, new, ACCEPTED)
    assert (rows(engine)[0].state, rows(engine)[0].phase) == ("accepted", "waiting")
    assert states(engine) == ["claimed", "accepted"], "claimed twice, one attempt"


def test_a_claim_in_use_is_renewed(engine: Engine, clock: ManualClock) -> None:
    plan(engine, clock)
    mine, other = book(engine, clock, "mine"), book(engine, clock, "other")
    (claim,) = mine.claim(10)
    for _ in range(3):
        clock.advance(TIMING.lease - timedelta(seconds=10))
        mine.renew([claim])
        assert other.reap() == 0
    assert mark(mine, claim) is True


def test_what_was_not_written_is_tried_again_after_a_kill_and_what_was_is_checked(
    engine: Engine, clock: ManualClock
) -> None:
    plan(engine, clock, people=2)
    first = book(engine, clock)
    written, _unwritten = first.claim(10)
    assert mark(first, written)
    reborn = book(engine, clock)  # same name, new life: takes its own back at once
    assert book(engine, clock, "stranger").reap(own=True) == 0
    assert reborn.reap(own=True) == 2
    assert sorted(row.phase for row in rows(engine)) == ["checking", "ready"]
    (again,) = reborn.claim(10)
    assert again.work == "send"
    clock.advance(timedelta(seconds=16))
    (check,) = reborn.claim(10)
    assert (check.work, check.delivery_id) == ("check", written.delivery_id)
    found = [Found("SM7", "sent")]
    do(reborn, lambda moves: reborn.enter_check(moves, check, found, can_tell=True))
    row = next(row for row in rows(engine) if row.delivery_id == written.delivery_id)
    assert (row.state, row.provider_id, row.phase) == ("sent", "SM7", "waiting")
    assert "ambiguous" not in states(engine)


def test_news_from_a_worker_thought_dead_is_welcome_and_stops_the_repeat(engine: Engine, clock: ManualClock) -> None:
    """The first worker wrote, stood still for long, and comes back with the provider's answer."""
    campaign = plan(engine, clock)
    frozen, other = book(engine, clock, "frozen"), book(engine, clock, "other")
    (claim,) = frozen.claim(10)
    assert mark(frozen, claim)
    clock.advance(timedelta(minutes=10))
    other.reap()
    for delay in TIMING.check_delays:
        clock.advance(delay + timedelta(seconds=1))
        (check,) = other.claim(10)
        do(other, lambda moves, check=check: other.enter_check(moves, check, [], can_tell=True))
    assert [(row.state, row.phase) for row in rows(engine)] == [("ambiguous", "done"), ("planned", "ready")]
    (repeat,) = other.claim(10)
    settle(frozen, claim, ACCEPTED)
    assert mark(other, repeat) is False, "the person is told: the repeat must not be written"
    assert [(row.state, row.code) for row in rows(engine)] == [("accepted", None), ("rejected", "superseded")]
    assert states(engine)[:3] == ["claimed", "ambiguous", "claimed"]
    assert counters(engine, campaign)["open"] == 1  # type: ignore[index]


def test_a_message_bound_to_another_attempt_is_not_counted_twice(engine: Engine, clock: ManualClock) -> None:
    plan(engine, clock)
    mine = book(engine, clock)
    (claim,) = mine.claim(10)
    mark(mine, claim)
    settle(mine, claim, Outcome(Verdict.AMBIGUOUS, "500"))
    for delay in TIMING.check_delays:
        clock.advance(delay + timedelta(seconds=1))
        (check,) = mine.claim(10)
        do(mine, lambda moves, check=check: mine.enter_check(moves, check, [], can_tell=True))
    (repeat,) = mine.claim(10)
    mark(mine, repeat)
    settle(mine, repeat, Outcome(Verdict.AMBIGUOUS, "500"))
    do(mine, lambda moves: mine.receive(moves, claim.delivery_id, "SM-FIRST", "undelivered", "30003"))
    clock.advance(timedelta(seconds=16))
    (check,) = mine.claim(10)
    listed = [Found("SM-FIRST", "undelivered")]
    do(mine, lambda moves: mine.enter_check(moves, check, listed, can_tell=True))
    assert rows(engine)[1].phase == "checking", "the first attempt's message says nothing of the second"


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


def test_a_provider_that_refuses_to_say_ends_it_as_unclear_with_the_reason(engine: Engine, clock: ManualClock) -> None:
    plan(engine, clock)
    mine = book(engine, clock)
    (claim,) = mine.claim(10)
    mark(mine, claim)
    settle(mine, claim, Outcome(Verdict.AMBIGUOUS, "timeout"))
    for delay in TIMING.check_delays:
        clock.advance(delay + timedelta(seconds=1))
        (check,) = mine.claim(10)
        do(mine, lambda moves, of=check: mine.enter_check(moves, of, [], can_tell=True, refused="401"))
    assert in_trouble(engine, clock.now())["unanswered"] == 1
    first, again = rows(engine)
    assert (first.state, first.code, first.phase) == ("ambiguous", "unanswered-401", "done")
    assert (again.repeat, again.state) == (1, "planned"), "by the campaign's policy"


def test_texts_that_networks_filter_are_called_out_once_and_the_campaign_rests(
    engine: Engine, clock: ManualClock
) -> None:
    campaign, quiet = plan(engine, clock, people=120), plan(engine, clock, people=120)
    mine = book(engine, clock)
    watch, ends = FilterWatch(mine), {campaign: ("30007", 30), quiet: ("30003", 120)}
    for _ in range(3):
        for claim in mine.claim(80):
            code, most = ends[claim.campaign_id]
            ends[claim.campaign_id] = (code, most - 1)
            with mine.transaction() as moves:
                row = moves.lock(claim.delivery_id)
                assert row is not None
                lost = most > 0
                moves.move(row, "undelivered" if lost else "delivered", code=code if lost else None, provider_id="SM")
                moves.set_phase(claim.delivery_id, Phase.DONE)
        if not watch.look():
            assert mine.claim(1), "not so many yet"
            mine.reap(own=True)
    with reading(engine) as connection:
        told = {row.campaign_id: row for row in connection.execute(select(sendings))}
    assert (told[campaign].texts_ended, told[campaign].texts_filtered) == (120, 30)
    assert (told[campaign].held_code, told[campaign].filtered_at) == ("filtered", clock.now())
    assert (told[quiet].texts_filtered, told[quiet].held_until) == (0, None), "numbers that are dead are not filtered"
    assert in_trouble(engine, clock.now()) == {"held": 1, "filtered": 1, "unanswered": 0}
    clock.advance(TIMING.most_hold)
    assert watch.look() == 0, "once"
    assert in_trouble(engine, clock.now()) == {"held": 0, "filtered": 1, "unanswered": 0}


def test_a_receipt_faster_than_the_answer(engine: Engine, clock: ManualClock) -> None:
    campaign = plan(engine, clock)
    mine = book(engine, clock)
    (claim,) = mine.claim(10)
    mark(mine, claim)
    do(mine, lambda moves: mine.receive(moves, claim.delivery_id, "SM1", "delivered", None))
    settle(mine, claim, ACCEPTED)
    assert (rows(engine)[0].state, rows(engine)[0].phase) == ("delivered", "done")
    assert states(engine) == ["claimed", "delivered"]
    assert counters(engine, campaign)["reached"] == 1  # type: ignore[index]


@pytest.mark.parametrize("verdict", [Verdict.TEMPORARY, Verdict.AMBIGUOUS, Verdict.CAMPAIGN_FAULT])
def test_a_receipt_faster_than_a_bad_answer(engine: Engine, clock: ManualClock, verdict: Verdict) -> None:
    plan(engine, clock)
    mine = book(engine, clock)
    (claim,) = mine.claim(10)
    mark(mine, claim)
    do(mine, lambda moves: mine.receive(moves, claim.delivery_id, "SM1", "sent", None))
    settle(mine, claim, Outcome(verdict, "x"))
    assert (rows(engine)[0].state, rows(engine)[0].phase) == ("sent", "waiting")
    clock.advance(timedelta(minutes=1))
    assert mine.claim(10) == []


def test_a_worker_killed_after_the_receipt_came(engine: Engine, clock: ManualClock) -> None:
    plan(engine, clock)
    mine = book(engine, clock)
    (claim,) = mine.claim(10)
    mark(mine, claim)
    do(mine, lambda moves: mine.receive(moves, claim.delivery_id, "SM1", "accepted", None))
    mine.reap(own=True)
    assert rows(engine)[0].phase == "waiting"


def test_tries_are_bounded_and_then_the_other_channel_is_used(engine: Engine, clock: ManualClock) -> None:
    plan(engine, clock)
    mine = book(engine, clock)
    for tries in range(TIMING.max_tries):
        (claim,) = mine.claim(10)
        assert claim.tries == tries
        mark(mine, claim)
        settle(mine, claim, Outcome(Verdict.TEMPORARY, "429"))
        clock.advance(TIMING.most_backoff)
    assert [(row.channel, row.state) for row in rows(engine)] == [("email", "planned"), ("sms", "failed")]
    assert states(engine) == ["claimed", "failed"]


def test_a_held_campaign_rests_and_others_go_on(engine: Engine, clock: ManualClock) -> None:
    held = plan(engine, clock, people=2)
    mine = book(engine, clock)
    claims = mine.claim(1)
    settle(mine, claims[0], Outcome(Verdict.CAMPAIGN_FAULT, "20003"))
    assert mine.claim(10) == []
    other = plan(engine, clock)
    assert {claim.campaign_id for claim in mine.claim(10)} == {other}
    clock.advance(TIMING.hold + timedelta(seconds=1))
    mine.reap()
    assert {claim.campaign_id for claim in mine.claim(10)} == {held, other}


def test_claims_given_back_are_ready_again(engine: Engine, clock: ManualClock) -> None:
    plan(engine, clock)
    mine = book(engine, clock)
    claims = mine.claim(10)
    mine.give_back(claims)
    assert len(book(engine, clock, "other").claim(10)) == 1
