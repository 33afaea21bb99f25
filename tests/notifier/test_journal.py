"""Group commit: what one step does wrong costs the others nothing, and the order of locks is the same for everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from incidents.clock import ManualClock
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries.journal import ENOUGH, Journal
from notifier.deliveries.moves import Moves, person_key
from tests.notifier.claiming import book, mark, plan, rows


def together(journal: Journal, steps: list[Callable[[Moves], Any]], keys: list[bytes] | None = None) -> list[Any]:
    """Ask for all of them in one group; each one's result, or what it raised."""

    async def live() -> list[Any]:
        asked = zip(steps, keys or [b""] * len(steps), strict=True)
        return await asyncio.gather(*(journal.do(step, key) for step, key in asked), return_exceptions=True)

    return asyncio.run(live())


def test_a_step_that_fails_undoes_no_other(engine: Engine, clock: ManualClock) -> None:
    plan(engine, clock, people=3)
    mine = book(engine, clock)
    claims = mine.claim(10)
    assert all(mark(mine, claim) for claim in claims)
    runs = [0, 0, 0]

    def settle(number: int) -> Callable[[Moves], Any]:
        def step(moves: Moves) -> str:
            runs[number] += 1
            outcome = Outcome(Verdict.ACCEPTED, provider_id=f"SM{number}")
            mine.settle(moves, claims[number], outcome, share=1.0, reconciles=True, receipts=True)
            if number == 1:
                raise RuntimeError("this one")
            return "entered"

        return step

    done = together(Journal(mine), [settle(number) for number in range(3)])
    assert [str(one) for one in done] == ["entered", "this one", "entered"]
    by_id = {row.delivery_id: row.state for row in rows(engine)}
    assert [by_id[claim.delivery_id] for claim in claims] == ["accepted", "claimed", "accepted"]
    assert max(runs) == 2, "in the group, and by itself"


def test_a_hold_of_a_group_that_is_redone_is_called_out_once(engine: Engine, clock: ManualClock) -> None:
    plan(engine, clock, people=2)
    mine = book(engine, clock)
    one, two = mine.claim(10)

    def hold(moves: Moves) -> None:
        mine.settle(moves, one, Outcome(Verdict.CAMPAIGN_FAULT, "20003"), share=1.0, reconciles=True, receipts=True)

    def breaks(moves: Moves) -> None:
        mine.fail(moves, two, "x")
        moves.at_end(two.campaign_id, "breaks", lambda: moves.connection.execute(text("SELECT nothing")))

    with structlog.testing.capture_logs() as logged:
        together(Journal(mine), [hold, breaks])
    assert [line["event"] for line in logged].count("campaign.held") == 1


def test_a_database_that_is_away_is_not_asked_for_each_of_a_hundred(engine: Engine, clock: ManualClock) -> None:
    mine, tried = book(engine, clock), []

    def step(_moves: Moves) -> None:
        tried.append(1)
        raise OperationalError("UPDATE", None, ConnectionError())

    done = together(Journal(mine), [step] * 50)
    assert all(isinstance(one, OperationalError) for one in done)
    assert len(tried) == 1 + ENOUGH

    def gone(_moves: Moves) -> None:
        tried.append(1)
        raise DBAPIError("UPDATE", None, ConnectionError(), connection_invalidated=True)

    tried.clear()
    together(Journal(mine), [gone] * 50)
    assert len(tried) == 1


def test_people_are_locked_in_one_order_and_each_ones_steps_keep_theirs(engine: Engine, clock: ManualClock) -> None:
    campaign = plan(engine, clock, people=5)
    mine, ran = book(engine, clock), list[tuple[bytes, int]]()
    people = [person_key(campaign, row.recipient_id) for row in rows(engine)] * 2
    keys = sorted(people, reverse=True)

    def step(number: int) -> Callable[[Moves], Any]:
        return lambda _moves: ran.append((keys[number], number))

    together(Journal(mine), [step(number) for number in range(len(keys))], keys)
    assert ran == sorted(ran), "by person, and for each in the order asked for"


def test_a_campaigns_row_is_locked_after_its_people(engine: Engine, clock: ManualClock) -> None:
    """Whoever holds a person waits for the campaign's row at its end; so nobody may hold that row and want a person."""
    plan(engine, clock, people=2)
    mine = book(engine, clock)
    first, second = mine.claim(10)
    said: list[str] = []
    with mine.transaction() as moves:
        execute = moves.connection.execute

        def note(statement: Any, *args: Any, **named: Any) -> Any:
            said.append(str(statement))
            return execute(statement, *args, **named)

        moves.connection.execute = note  # type: ignore[method-assign]
        outcome = Outcome(Verdict.CAMPAIGN_FAULT, "20003")
        mine.settle(moves, first, outcome, share=1.0, reconciles=True, receipts=True)
        mine.settle(moves, second, outcome, share=1.0, reconciles=True, receipts=True)
    changes = [one.startswith("UPDATE sendings") for one in said if one.startswith("UPDATE")]
    assert any(changes), "it rests"
    assert changes == sorted(changes), "the campaign last"
