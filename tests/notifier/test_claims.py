"""Claims: one at a time, fenced, taken over from the dead; no step under an old claim has effect."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, select

from incidents.clock import ManualClock
from incidents.record.database import reading
from notifier.channels.channel import Found
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries import counters, in_trouble
from notifier.deliveries.filtering import FilterWatch
from notifier.deliveries.states import Phase
from notifier.deliveries.tables import sendings
from tests.notifier.claiming import ACCEPTED, TIMING, ask_in_vain, book, do, mark, plan, rows, settle, states


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
    ask_in_vain(other, clock)
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
    ask_in_vain(mine, clock)
    (repeat,) = mine.claim(10)
    mark(mine, repeat)
    settle(mine, repeat, Outcome(Verdict.AMBIGUOUS, "500"))
    do(mine, lambda moves: mine.receive(moves, claim.delivery_id, "SM-FIRST", "undelivered", "30003"))
    clock.advance(timedelta(seconds=16))
    (check,) = mine.claim(10)
    listed = [Found("SM-FIRST", "undelivered")]
    do(mine, lambda moves: mine.enter_check(moves, check, listed, can_tell=True))
    assert rows(engine)[1].phase == "checking", "the first attempt's message says nothing of the second"


def test_a_provider_that_refuses_to_say_ends_it_as_unclear_with_the_reason(engine: Engine, clock: ManualClock) -> None:
    plan(engine, clock)
    mine = book(engine, clock)
    (claim,) = mine.claim(10)
    mark(mine, claim)
    settle(mine, claim, Outcome(Verdict.AMBIGUOUS, "timeout"))
    ask_in_vain(mine, clock, refused="401")
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
