"""People who say on the notice page that they have read it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select

from incidents.record.database import reading
from notifier.deliveries import counters
from notifier.deliveries.tables import campaign_recipients, sendings
from notifier.public.acknowledging import Acknowledging
from notifier.standins.outcomes import simulated_number
from tests.notifier.house import House, open_house

PEOPLE = [("Ann", "", "ann@example.com", "en", "GB"), ("Ben", "", "ben@example.com", "en", "GB")]


def run(folder: Path, story: Callable[[House], Awaitable[None]], **settings: Any) -> None:
    async def live() -> None:
        async with open_house(folder, **settings) as house:
            await story(house)

    asyncio.run(live())


def desk_of(house: House) -> Acknowledging:
    assert house.notifier.acknowledging is not None
    return house.notifier.acknowledging


def code_of(house: House, campaign_id: UUID) -> str:
    assert house.notifier.public is not None
    return house.notifier.public.check_of(campaign_id).code


def references(house: House, campaign_id: UUID) -> list[str]:
    person = campaign_recipients.c
    with reading(house.database) as connection:
        found = select(person.reference).where(person.campaign_id == campaign_id).order_by(person.position)
        return list(connection.execute(found).scalars())


def outcome_counts(house: House, campaign_id: UUID) -> dict[str, int]:
    found = counters(house.database, campaign_id)
    return {name: people for name, people in (found or {}).items() if people}


def test_a_press_of_the_button_is_a_receipt_and_the_second_changes_nothing(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started(PEOPLE)
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == 2
        code, (ann, _) = code_of(house, view.campaign_id), references(house, view.campaign_id)

        assert desk_of(house).acknowledge(code, ann) is True
        assert desk_of(house).acknowledge(code.lower(), ann.lower().replace("-", " ")) is False
        while house.notifier.relay.run_once():
            pass

        read = [move for move in house.moves(view.campaign_id) if move.state == "read"]
        assert [(move.channel, move.code) for move in read] == [("email", "notice-page")]
        assert outcome_counts(house, view.campaign_id) == {"reached": 1, "accepted": 1}

    run(tmp_path, story)


NOT_OURS = ("", "00000-00000", "x" * 39, "x" * 5_000, "客户", "\x00", "%00", "' OR 1=1 --", "../../etc/passwd")


def test_a_link_that_is_not_ours_changes_nothing(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started(PEOPLE)
        await house.finish(view.campaign_id)
        head = house.record.head()
        for token in NOT_OURS:
            assert desk_of(house).acknowledge(code_of(house, view.campaign_id), token) is False
            assert house.notifier.relay.run_once() == 0
            assert house.record.head() == head, token

    run(tmp_path, story)


def test_a_reference_counts_only_with_the_code_of_its_own_campaign(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        first, second = house.started(PEOPLE[:1]), house.started(PEOPLE[1:])
        await house.finish(first.campaign_id)
        await house.finish(second.campaign_id)
        (ann,) = references(house, first.campaign_id)

        assert desk_of(house).acknowledge(code_of(house, second.campaign_id), ann) is False
        assert desk_of(house).acknowledge(code_of(house, first.campaign_id), ann) is True

    run(tmp_path, story)


def test_who_reads_it_was_told_whatever_the_provider_said(tmp_path: Path) -> None:
    """The text message was reported as not delivered and there is no other channel: the person has it all the same."""

    async def story(house: House) -> None:
        view = house.started([("Ann", simulated_number("unknown-handset"), "", "en", "GB")])
        done = await house.finish(view.campaign_id)
        assert done.outcomes["failed"] == 1
        (ann,) = references(house, view.campaign_id)

        assert desk_of(house).acknowledge(code_of(house, view.campaign_id), ann) is True
        assert outcome_counts(house, view.campaign_id) == {"reached": 1}
        assert {row.state for row in house.deliveries()} == {"read"}

    run(tmp_path, story)


def test_the_message_that_arrived_is_the_one_that_was_read(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started([("Ann", simulated_number("landline"), "ann@example.com", "en", "GB")])
        await house.finish(view.campaign_id)
        (ann,) = references(house, view.campaign_id)

        assert desk_of(house).acknowledge(code_of(house, view.campaign_id), ann) is True
        assert {row.channel: row.state for row in house.deliveries()} == {"sms": "undelivered", "email": "read"}

    run(tmp_path, story)


def test_nothing_of_a_drill_is_acknowledged(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started(PEOPLE[:1], drill=True)
        await house.finish(view.campaign_id)
        (ann,) = references(house, view.campaign_id)
        assert desk_of(house).acknowledge(code_of(house, view.campaign_id), ann) is False

    run(tmp_path, story)


def test_the_sum_holds_after_everybody_read_it(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started(PEOPLE)
        await house.finish(view.campaign_id)
        code = code_of(house, view.campaign_id)
        assert all(desk_of(house).acknowledge(code, one) for one in references(house, view.campaign_id))
        with reading(house.database) as connection:
            row = connection.execute(select(sendings)).one()
        assert (row.reached, row.open + row.accepted + row.failed + row.ambiguous + row.suppressed) == (2, 0)

    run(tmp_path, story)
