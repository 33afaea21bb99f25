"""Codes by which anybody can check a notice, and the pages behind them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from incidents.record.database import reading
from notifier.campaigns.campaign import Campaign
from notifier.deliveries.references import reference_code
from notifier.deliveries.tables import campaign_recipients
from notifier.public.code import notice_code, tidy_code
from notifier.public.notices import PublicNotices
from notifier.standins.outcomes import ordinary_numbers, simulated_number
from notifier.templates import CheckAt, Templates
from tests.notifier.house import PUBLIC_URL, VALUES, House, open_house

KEY = bytes(range(32))
SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CAMPAIGN = UUID(int=7)


def run(folder: Path, story: Callable[[House], Awaitable[None]], **settings: Any) -> None:
    async def live() -> None:
        async with open_house(folder, **settings) as house:
            await story(house)

    asyncio.run(live())


def public_of(house: House) -> PublicNotices:
    assert house.notifier.public is not None
    return house.notifier.public


def references(house: House) -> set[str]:
    with reading(house.database) as connection:
        return set(connection.execute(select(campaign_recipients.c.reference)).scalars())


def test_a_code_is_the_same_for_a_campaign_and_of_signs_that_nobody_misreads() -> None:
    codes = {notice_code(KEY, uuid4()) for _ in range(500)}

    assert len(codes) == 500
    assert all(re.fullmatch(rf"[{SIGNS}]{{7}}-[{SIGNS}]{{7}}", code) for code in codes)
    assert notice_code(KEY, CAMPAIGN) == notice_code(KEY, CAMPAIGN) != notice_code(bytes(32), CAMPAIGN)
    # Every place but the check takes every sign: 13 signs of 5 bits are 65 bits.
    for place in (*range(7), *range(8, 13)):
        assert {code[place] for code in codes} == set(SIGNS)
    assert reference_code(KEY, CAMPAIGN, UUID(int=1)).replace("-", "") not in notice_code(KEY, CAMPAIGN)


def test_a_code_is_understood_however_it_is_typed() -> None:
    code = next(code for code in (notice_code(KEY, UUID(int=i)) for i in range(999)) if "0" in code and "1" in code)

    for typed in (
        code.lower(),
        code.replace("-", ""),
        f"  {code[:4]} {code[4:]} ",
        code.replace("0", "o").replace("1", "l"),
        code.replace("1", "I").replace("-", "–"),
    ):
        assert tidy_code(typed) == code


def test_every_wrong_sign_and_every_swap_shows() -> None:
    signs = notice_code(KEY, CAMPAIGN).replace("-", "")

    for place, right in enumerate(signs):
        assert all(tidy_code(signs[:place] + sign + signs[place + 1 :]) is None for sign in SIGNS if sign != right)
    for one in range(14):
        for other in range(one + 1, 14):
            swapped = list(signs)
            swapped[one], swapped[other] = swapped[other], swapped[one]
            assert signs[one] == signs[other] or tidy_code("".join(swapped)) is None


@pytest.mark.parametrize(
    "typed", ["", "-", "U" * 14, "0" * 13, "0" * 15, "0" * 100_000, "\x00" * 14, "客" * 14, "é" * 14]
)
def test_what_is_no_code_is_none(typed: str) -> None:
    assert tidy_code(typed) is None


def test_every_message_carries_the_code_and_a_link_of_its_own(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        numbers = ordinary_numbers("GB")
        rows = [(f"Person {i}", next(numbers), "", ("en", "zh-CN", "vi")[i % 3], "GB") for i in range(6)]
        rows += [(f"Mail {i}", "", f"m{i}@example.com", ("en", "zh-CN", "vi")[i % 3], "GB") for i in range(6)]
        view = house.started(rows)
        await house.finish(view.campaign_id)
        check = public_of(house).check_of(view.campaign_id)

        assert check.address == f"{PUBLIC_URL}/n/{check.code}"
        links: list[str] = []
        for message in house.standins.store.messages(limit=100):
            assert check.address in message.body
            links += set(re.findall(rf"{re.escape(check.address)}/([0-9A-Z-]+)", message.body))
        assert len(links) == 12
        assert set(links) == references(house)

    run(tmp_path, story)


def test_the_page_is_there_before_the_first_message_and_holds_nothing_of_anybody(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started([("Zacharias Quill", simulated_number("delivered"), "z@example.com", "en", "GB")])
        public = public_of(house)
        before = public.check_of(view.campaign_id)
        assert public.page_of(view.campaign_id) is None
        assert public.find(before.code) is None
        await house.until(lambda: bool(house.standins.store.messages()))

        page = public.find(before.code.lower().replace("-", " "))
        assert page is not None
        assert (page.campaign_id, page.code) == (view.campaign_id, before.code)
        assert page.first_sent_at <= house.standins.store.messages()[0].accepted_at
        assert set(page.words) == {"en", "zh-Hans", "vi"}
        await house.until(lambda: bool(references(house)))  # entered with the outcome, after the message
        (reference,) = references(house)
        whole = page.model_dump_json()
        assert "Part of our patient register was copied" in whole
        assert "部分患者登记信息" in whole
        for personal in ("Zacharias", "Quill", "z@example.com", reference, "Dear"):
            assert personal not in whole

    run(tmp_path, story)


def test_a_drill_is_never_shown_as_genuine(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started([("Ann", "", "ann@example.com", "en", "GB")], drill=True)
        await house.finish(view.campaign_id)
        public = public_of(house)
        check = public.check_of(view.campaign_id)

        assert check.address in house.standins.store.messages()[0].body
        assert public.page_of(view.campaign_id) is None
        assert public.find(check.code) is None

    run(tmp_path, story)


def test_a_page_stays_as_sent_when_the_key_or_the_template_changes(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started([("Ann", simulated_number("delivered"), "", "en", "GB")])
        await house.finish(view.campaign_id)
        first = public_of(house).page_of(view.campaign_id)
        assert first is not None
        rotated = PublicNotices(house.database, house.clock, key=bytes(32), public_url=PUBLIC_URL)
        campaign = house.record.load(Campaign, view.campaign_id)
        campaign.values = {**campaign.values, "organisation": dict.fromkeys(("en", "zh-Hans", "vi"), "Another")}

        assert rotated.publish(campaign, Templates().get(campaign.template)).code == first.code
        assert rotated.check_of(view.campaign_id).code == first.code
        assert rotated.find(first.code) == first

    run(tmp_path, story)


def test_two_workers_that_publish_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(house: House) -> None:
        view = house.started([("Ann", simulated_number("delivered"), "", "en", "GB")])
        campaign = house.record.load(Campaign, view.campaign_id)
        template = Templates().get(campaign.template)
        one, other = (
            PublicNotices(house.database, house.clock, key=key, public_url=PUBLIC_URL) for key in (KEY, bytes(32))
        )
        look = one._row
        looks: list[UUID] = []

        def late(campaign_id: UUID) -> Any:
            looks.append(campaign_id)
            found = look(campaign_id)
            if len(looks) == 1:  # between the look and the insert the other one is faster
                other.publish(campaign, template)
            return found

        monkeypatch.setattr(one, "_row", late)
        assert one.publish(campaign, template) == other.publish(campaign, template)

    run(tmp_path, story)


def test_a_language_that_lacks_what_the_notice_needs_is_left_out_of_the_page(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        summary = {"en": VALUES["incident_summary"]["en"]}
        view = house.started(
            [("Ann", simulated_number("delivered"), "", "en", "GB")], values={**VALUES, "incident_summary": summary}
        )
        await house.finish(view.campaign_id)
        page = public_of(house).page_of(view.campaign_id)
        assert page is not None
        assert set(page.words) == {"en"}

    run(tmp_path, story)


@pytest.mark.parametrize("language", ["en", "zh-Hans", "vi"])
def test_the_address_costs_a_text_message_little(language: str) -> None:
    """A code and a link of an ordinary length add no more than two segments to a message that has several."""
    words = Templates().get("personal-data-breach")
    check = CheckAt(code="7K3M9QA-4T6V8WX", address=f"{PUBLIC_URL}/n/7K3M9QA-4T6V8WX")
    plain = words.render_sms(language, VALUES, "01234-ABCDE")
    with_check = words.render_sms(language, VALUES, "01234-ABCDE", check)

    assert f"{check.address}/01234-ABCDE" in with_check.text
    assert len(with_check.text) - len(plain.text) <= 70
    assert with_check.segments <= plain.segments + 2
