"""Letters: what is printed, for whom, and that a letter counts only once a person says it was handed over."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select

from incidents.errors import Conflict, Forbidden, IllegalTransition, InvalidInput, NotFound
from incidents.record.database import reading, writing
from notifier.letters.desk import LetterBatchView, LetterDesk
from notifier.letters.press import NOBODY, DrillPress
from notifier.letters.tables import letter_batches, letter_items
from notifier.letters.typeset import Letter, printable, typeset
from notifier.standins.outcomes import simulated_number
from tests.notifier.house import APPROVER, House, open_house
from tests.servers import emptied_database

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
VIETNAMESE, CHINESE = "Nguyễn Thị Ánh Ữ", "张晓明"
PEOPLE = (
    "name,phone,email,language,country,address\r\n"
    f"{VIETNAMESE},,,vi,VN,12 Đường Lê Lợi|700000 TP. Hồ Chí Minh\r\n"
    f"{CHINESE},{simulated_number('landline', 'CN')},,zh-CN,CN,北京市朝阳区建国路1号|100020 北京\r\n"
    '"Reached, Ann",,ann@example.com,en,GB,1 Harbour Road|London\r\n'
    f"No Address,{simulated_number('landline')},,en,GB,\r\n"
    "=cmd() Bob,,,en,GB,\r\n"
)
"""The last row is refused: a formula, and no way to reach him."""
GOOD = "".join(PEOPLE.splitlines(keepends=True)[:-1])


def letter(name: str, text: str = "Text.", key: str = "000001") -> Letter:
    return Letter(key, (name, "1 Road"), "en", "22 November 2026", "Subject", text)


def unpacked(pdf: bytes) -> bytes:
    """The PDF's streams, as far as they are packed by Flate."""
    found = [pdf]
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            found.append(zlib.decompress(stream.strip(b"\r\n")))
        except zlib.error:
            continue
    return b"\n".join(found)


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", unpacked(pdf)))


def run(folder: Path, story: Callable[[House], Awaitable[None]], **settings: Any) -> None:
    async def live() -> None:
        async with open_house(folder, **settings) as house:
            await story(house)

    asyncio.run(live())


@pytest.mark.slow
def test_vietnamese_and_chinese_are_printed_and_the_same_letters_are_the_same_bytes() -> None:
    some = [letter(VIETNAMESE), letter(CHINESE, key="000002"), letter("Ann", "word " * 900, key="000003")]
    made = typeset(some, sender="Harbour Clinic · 海港诊所", at=NOON)

    assert made.startswith(b"%PDF-")
    assert made == typeset(some, sender="Harbour Clinic · 海港诊所", at=NOON)
    assert pages(made) == 4
    assert b"CJK" in unpacked(made) or b"SimSun" in unpacked(made)


def test_words_cannot_become_commands_of_the_typesetter() -> None:
    evil = '#panic("x") $1/0$ *b* _i_ @ref <label> ]} \\ // `raw` #import "x"'

    assert pages(typeset([letter(evil, evil)], sender=evil, at=NOON)) == 1


@pytest.mark.slow
def test_a_name_that_no_font_can_print_costs_its_own_letter_only() -> None:
    some = [letter(f"Ann {number}", key=f"{number:06d}") for number in range(7)]
    made, good = printable([*some[:3], letter("\U00010380\U00010381"), *some[3:]], sender="x", at=NOON)

    assert [one.key for one in good] == [one.key for one in some]
    assert pages(made) == 7
    with pytest.raises(InvalidInput, match="font"):
        printable([letter("\U00010380")], sender="x", at=NOON)


def test_where_no_font_has_chinese_it_is_said_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifier.letters.typeset._families", lambda _fonts: ["Libertinus Serif"])

    with pytest.raises(InvalidInput, match="Noto Serif CJK"):
        typeset([letter(CHINESE)], sender="x", at=NOON)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_letters_go_to_those_whom_nothing_else_reached_and_count_when_handed_over(tmp_path: Path, backend: str) -> None:
    async def story(house: House) -> None:
        desk = house.notifier.letters
        view = await house.finish(house.started(GOOD).campaign_id)
        assert (view.outcomes["failed"], view.outcomes["accepted"]) == (3, 1)
        assert desk.waiting(view.campaign_id) == 2

        command = house.context()
        batch = desk.make(command, view.campaign_id)
        assert (batch.letters, batch.state, batch.drill) == (2, "made", False)
        assert desk.make(command, view.campaign_id) == batch
        with pytest.raises(IllegalTransition, match="Nobody"):
            desk.make(house.context(), view.campaign_id)
        with pytest.raises(IllegalTransition, match="Export"):
            desk.say(house.context(), batch.batch_id, "printed")
        with pytest.raises(Forbidden):
            desk.export(house.context("system:tocsin"), batch.batch_id, "letters")

        printed = desk.export(house.context(APPROVER), batch.batch_id, "letters")
        assert (printed.letters, printed.left_out) == (2, 0)
        assert pages(printed.content) >= 2
        addresses = desk.export(house.context(APPROVER), batch.batch_id, "addresses")
        rows = list(csv.DictReader(io.StringIO(addresses.content.decode("utf-8-sig"))))
        assert [row["name"] for row in rows] == [VIETNAMESE, CHINESE]
        assert (rows[1]["line1"], rows[1]["line2"], rows[1]["country"]) == (
            "北京市朝阳区建国路1号",
            "100020 北京",
            "CN",
        )

        await follow(house, desk)
        assert "letter" not in {row.channel for row in house.deliveries()}
        desk.say(house.context(), batch.batch_id, "printed", "Print House 7")
        desk.say(house.context(), batch.batch_id, "handed_over", "Post 12")
        with pytest.raises(IllegalTransition, match="already"):
            desk.say(house.context(), batch.batch_id, "given_up")
        await follow(house, desk)
        desk._hand_over(batch.batch_id, view.campaign_id)  # again, as after a kill
        letters = [row for row in house.deliveries() if row.channel == "letter"]
        assert [(row.state, row.phase, row.code) for row in letters] == [("sent", "done", "post")] * 2
        assert outcomes(house, view.campaign_id) == {"accepted": 3, "failed": 1}
        told = "".join(recorded.event.model_dump_json() for recorded in house.record.read(0, 1000))
        assert not any(word in told for word in (VIETNAMESE, CHINESE, "Lê Lợi", "朝阳", "Harbour Road"))

    with emptied_database(backend, tmp_path) as url:
        run(tmp_path, story, url=url)


@pytest.mark.slow
def test_who_is_erased_is_in_no_file_any_more(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        desk, _, batch = await batch_made(house)
        first = desk._people(batch.batch_id)[0]
        house.notifier.vault.erase(first.recipient_id)

        found = desk.export(house.context(APPROVER), batch.batch_id, "addresses")
        assert (found.letters, found.left_out) == (1, 1)
        assert VIETNAMESE not in found.content.decode()

        once = house.context(APPROVER)
        assert desk.export(once, batch.batch_id, "letters").left_out == 1
        desk.export(once, batch.batch_id, "addresses")
        given: list[Any] = [one.event for one in house.record.read(0, 1000, kinds=["letters.batch-exported"])]
        assert [one.part for one in given] == ["addresses", "letters", "addresses"], "each part is on record"
        desk.say(house.context(), batch.batch_id, "handed_over")
        await follow(house, desk)
        told = {row.recipient_id for row in house.deliveries() if row.channel == "letter"}
        assert len(told) == 1, "nobody counts as written to who is on no page"
        assert first.recipient_id not in told

    run(tmp_path, story)


@pytest.mark.slow
def test_the_same_batch_is_the_same_file_and_people_of_one_given_up_are_in_another(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        desk, campaign, batch = await batch_made(house)
        later = house.context(APPROVER).model_copy(update={"recorded_at": house.clock.now() + timedelta(days=40)})
        first = desk.export(house.context(APPROVER), batch.batch_id, "letters")
        assert desk.export(later, batch.batch_id, "letters").content == first.content
        digests: list[Any] = [one.event for one in house.record.read(0, 1000, kinds=["letters.batch-exported"])]
        assert len({one.sha256 for one in digests}) == 1

        desk.say(house.context(), batch.batch_id, "given_up")
        assert desk.waiting(campaign) == 2
        other = desk.make(house.context(), campaign)
        await follow(house, desk)  # says again that the first was given up
        assert (other.letters, desk.waiting(campaign)) == (2, 0)
        with writing(house.database) as connection:  # as a process of a version makes it that kept people only
            connection.execute(delete(letter_batches).where(letter_batches.c.batch_id == other.batch_id))
        listed = desk.of_campaign(campaign)
        assert sorted(one.state for one in listed) == ["given_up", "made"]
        (page,) = desk.of_campaign(campaign, limit=1)
        assert (page, *desk.of_campaign(campaign, after=page.batch_id)) == listed
        with pytest.raises(NotFound):
            desk.of_campaign(campaign, after=UUID(int=1))

    run(tmp_path, story)


@pytest.mark.slow
def test_people_of_a_batch_given_up_before_it_was_known_to_free_them_are_freed(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        desk, campaign, batch = await batch_made(house)
        await asyncio.to_thread(desk.followers()[0].drain)
        with reading(house.database) as connection:
            items = [dict(row) for row in connection.execute(select(letter_items)).mappings()]
        desk.say(house.context(), batch.batch_id, "given_up")
        await asyncio.to_thread(desk.followers()[0].drain)  # the version before went by it
        with writing(house.database) as connection:  # and kept its people
            connection.execute(insert(letter_items), items)
        assert desk.waiting(campaign) == 0
        await follow(house, desk)
        assert desk.waiting(campaign) == 2

    run(tmp_path, story)


@pytest.mark.slow
def test_a_batch_that_could_not_be_put_on_record_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(house: House) -> None:
        desk = house.notifier.letters
        view = await house.finish(house.started(GOOD).campaign_id)

        def fail(*_: Any) -> None:
            raise Conflict("killed between two steps")

        with monkeypatch.context() as broken:
            broken.setattr("incidents.record.transaction.Transaction.save", fail)
            broken.setattr("incidents.record.record.Record.commit", fail)
            with pytest.raises(Conflict):
                desk.make(house.context(), view.campaign_id)

        assert desk.waiting(view.campaign_id) == 2
        assert desk.make(house.context(), view.campaign_id).letters == 2

    run(tmp_path, story)


@pytest.mark.slow
def test_a_drills_letters_carry_no_name_and_no_address(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        desk = house.notifier.letters
        view = house.started(GOOD, drill=True)
        await house.until(lambda: desk.waiting(view.campaign_id) > 0)
        batch = desk.make(house.context(), view.campaign_id)
        assert batch.drill
        found = desk.export(house.context(APPROVER), batch.batch_id, "addresses").content.decode()

        assert NOBODY in found
        assert not any(word in found for word in (VIETNAMESE, CHINESE, "Lê Lợi", "朝阳"))
        assert set(vars(DrillPress(time_zone="UTC"))) == {"_zone"}

    run(tmp_path, story)


async def batch_made(house: House) -> tuple[LetterDesk, UUID, LetterBatchView]:
    """A campaign that is over, and the batch of letters to those whom it did not reach."""
    desk = house.notifier.letters
    campaign = (await house.finish(house.started(GOOD).campaign_id)).campaign_id
    return desk, campaign, desk.make(house.context(), campaign)


async def follow(house: House, desk: LetterDesk) -> None:
    for follower in desk.followers():
        await asyncio.to_thread(follower.drain)
    await house.step()


def outcomes(house: House, campaign_id: UUID) -> dict[str, int]:
    from notifier.deliveries.finishing import counters

    found = counters(house.database, campaign_id) or {}
    return {name: count for name, count in found.items() if count}
