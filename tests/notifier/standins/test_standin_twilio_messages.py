"""Fetch, list, redact, cancel and delete at the Twilio stand-in with the real SDK."""

from __future__ import annotations

from datetime import timedelta

import pytest
from twilio.base.exceptions import TwilioRestException

from notifier.standins.outcomes import ordinary_numbers, simulated_number
from tests.notifier.standins.standin_harness import ACCOUNT, NOON, SERVICE, TOKEN, run, world

ONE, OTHER = list(ordinary_numbers("CN"))[:2]


def test_fetch_tells_the_state_and_its_error() -> None:
    async def story() -> None:
        async with world() as there:
            sent = await there.send(simulated_number("landline"))
            await there.standins.idle()
            message = await there.client.messages(sent.sid).fetch_async()
            assert (message.status, message.error_code) == ("undelivered", 30006)
            assert message.error_message == "Landline or unreachable carrier"
            assert message.date_sent == NOON

    run(story())


def test_what_does_not_exist_is_404_with_20404() -> None:
    async def story() -> None:
        async with world() as there:
            with pytest.raises(TwilioRestException) as caught:
                await there.client.messages("SM" + "0" * 32).fetch_async()
            assert (caught.value.status, caught.value.code) == (404, 20404)
            other = there.client.api.v2010.accounts("AC" + "9" * 32)
            with pytest.raises(TwilioRestException) as caught:
                await other.messages("SM" + "0" * 32).fetch_async()
            assert (caught.value.status, caught.value.code) == (404, 20404)

    run(story())


def test_the_sdk_pages_through_the_list_newest_first_without_gap_or_repeat() -> None:
    async def story() -> None:
        async with world() as there:
            sids = [(await there.send(ONE if n % 2 else OTHER, body=str(n))).sid for n in range(25)]
            listed = [m.sid for m in await there.client.messages.list_async(page_size=4)]
            assert listed == sids[::-1]
            mine = [m.sid for m in await there.client.messages.list_async(to=ONE, page_size=5)]
            assert mine == sids[1::2][::-1]
            assert await there.client.messages.list_async(to=ONE, from_="+15005550001") == []
            assert len(await there.client.messages.list_async(limit=7)) == 7

    run(story())


def test_a_page_has_the_paging_fields_of_the_api() -> None:
    async def story() -> None:
        async with world() as there:
            for _ in range(3):
                await there.send(ONE)
            page = await there.client.messages.page_async(to=ONE, page_size=2)
            payload = page._payload
            assert (payload["page"], payload["page_size"], payload["start"], payload["end"]) == (0, 2, 0, 1)
            assert payload["first_page_uri"].endswith(f"?To=%2B{ONE[1:]}&PageSize=2&Page=0")
            assert "&PageToken=PASM" in payload["next_page_uri"]
            last = await page.next_page_async()
            assert last._payload["next_page_uri"] is None
            assert len(list(last)) == 1

    run(story())


def test_bad_paging_is_refused() -> None:
    async def story() -> None:
        async with world() as there:
            for query in ("PageSize=x", "Page=-1", "PageToken=PASMnone"):
                answer = await there.http.request(
                    "GET",
                    f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json?{query}",
                    auth=(ACCOUNT, TOKEN),
                )
                assert (answer.status_code, '"code":20001' in answer.text) == (400, True)

    run(story())


def test_the_date_filter_leaves_out_what_was_not_sent() -> None:
    async def story() -> None:
        async with world() as there:
            sent = await there.send(ONE)
            await there.standins.idle()
            failed = await there.send(simulated_number("filtered"))
            await there.standins.idle()
            found = await there.client.messages.list_async(date_sent_after=NOON - timedelta(days=1))
            assert [m.sid for m in found] == [sent.sid]
            assert await there.client.messages.list_async(date_sent_before=NOON - timedelta(days=1)) == []
            assert {m.sid for m in await there.client.messages.list_async()} == {sent.sid, failed.sid}

    run(story())


def test_a_text_can_be_redacted_and_nothing_else_put_in_its_place() -> None:
    async def story() -> None:
        async with world() as there:
            sent = await there.send(ONE, body="something private")
            await there.standins.idle()
            with pytest.raises(TwilioRestException):
                await there.client.messages(sent.sid).update_async(body="other")
            redacted = await there.client.messages(sent.sid).update_async(body="")
            assert (redacted.body, redacted.status) == ("", "delivered")
            assert there.store.messages(body_part="private") == []

    run(story())


def test_a_scheduled_message_can_be_cancelled_and_a_sent_one_cannot() -> None:
    async def story() -> None:
        async with world() as there:
            later = NOON + timedelta(hours=1)
            waiting = await there.send(
                ONE, from_=None, messaging_service_sid=SERVICE, schedule_type="fixed", send_at=later
            )
            assert waiting.status == "scheduled"
            cancelled = await there.client.messages(waiting.sid).update_async(status="canceled")
            assert cancelled.status == "canceled"
            await there.standins.idle()
            assert there.receiver.statuses() == ["canceled"]
            sent = await there.send(ONE)
            await there.standins.idle()
            with pytest.raises(TwilioRestException) as caught:
                await there.client.messages(sent.sid).update_async(status="canceled")
            assert (caught.value.status, caught.value.code) == (400, 30409)

    run(story())


def test_a_scheduled_message_goes_out_when_its_time_comes() -> None:
    async def story() -> None:
        async with world() as there:
            await there.send(ONE, from_=None, messaging_service_sid=SERVICE, schedule_type="fixed", send_at=NOON)
            await there.standins.idle()
            assert there.receiver.statuses() == ["queued", "sending", "sent", "delivered"]

    run(story())


def test_a_message_can_be_deleted() -> None:
    async def story() -> None:
        async with world() as there:
            sent = await there.send(ONE)
            await there.standins.idle()
            assert await there.client.messages(sent.sid).delete_async()
            assert there.store.messages() == []

    run(story())
