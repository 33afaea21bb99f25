"""The outbox page: what a person would see, safely, in two languages, without scripts."""

from __future__ import annotations

from html import unescape
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from notifier.standins.outbox_pages import MAIL_POLICY, create_outbox_router
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.outbox_words import _WORDS, preferred_language
from tests.notifier.standins.standin_harness import NOON, run
from tests.notifier.standins.test_standin_outbox_store import message
from tests.notifier.standins.test_standin_smtp import mail

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def store() -> Any:
    outbox = OutboxStore()
    yield outbox
    outbox.close()


def ask(store: OutboxStore, path: str = "", **options: Any) -> httpx.Response:
    async def story() -> httpx.Response:
        app = FastAPI()
        app.include_router(create_outbox_router(store))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            return await client.request(options.pop("method", "GET"), f"/outbox{path}", **options)

    return run(story())


def keep_mail(store: OutboxStore, html: str = "<p>Hi</p>", **changes: Any) -> int:
    letter = mail("an@example.org", "plain words")
    letter.get_body(("html",)).set_content(html, subtype="html")  # type: ignore[union-attr]
    given = {"channel": "email", "recipient": "an@example.org", "raw": letter.as_bytes(), "subject": "A notice"}
    return store.accept([message(7, status="delivered", **(given | changes))])[0].id


def test_an_empty_outbox_says_so_in_both_languages(store: OutboxStore) -> None:
    assert "No message yet." in ask(store).text
    assert "还没有消息" in ask(store, headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"}).text
    assert "还没有消息" in ask(store, "?lang=zh").text
    assert '<html lang="zh-Hans">' in ask(store, "?lang=zh").text


def test_every_word_has_both_languages() -> None:
    assert all(len(pair) == 2 and all(pair) for pair in _WORDS.values())
    assert preferred_language(None, "fr,de") == "en"
    assert preferred_language("xx", "zh-TW") == "zh"


def test_a_text_message_is_a_bubble_with_its_links_and_state(store: OutboxStore) -> None:
    (kept,) = store.accept([message(1, body=f"See https://x.example/n/1 {EVIL}")])
    store.set_status(kept.sid, "undelivered", NOON, error_code="30005")
    page = ask(store).text
    assert 'class="bubble"' in page
    assert '<a href="https://x.example/n/1" rel="noopener noreferrer" target="_blank">' in page
    assert EVIL not in page
    assert "undelivered · 30005" in page


def test_nothing_a_sender_writes_becomes_markup(store: OutboxStore) -> None:
    keep_mail(store, html=f'<b>hello</b>{EVIL}"></iframe>{EVIL}', subject=EVIL, sender=f"{EVIL}@x", body=EVIL)
    store.refuse("email", EVIL, "550", EVIL, NOON)
    for path in ("", "/1"):
        page = ask(store, path).text
        assert "<script" not in page
    assert "<script" not in ask(store, method="POST", data={"address": f'"{EVIL}'}).text


def test_a_mail_is_shown_in_a_sandbox_that_loads_nothing(store: OutboxStore) -> None:
    answer = ask(store, f"/{keep_mail(store, html='<h1 style=color:red>Hello</h1><img src=http://spy.example/x>')}")
    frame = answer.text.split("<iframe", 1)[1].split("</iframe>", 1)[0]
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in frame
    document = unescape(frame.split('srcdoc="', 1)[1].split('"', 1)[0])
    assert document.index(MAIL_POLICY) < document.index("<h1")
    assert "script-src" not in MAIL_POLICY
    assert MAIL_POLICY.startswith("default-src 'none'")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    for seen in (
        "plain words",
        "Một thông báo 通知",
        "&lt;recipient-1@example.org&gt;",
        "Notices &lt;notices@example.org&gt;",
    ):
        assert seen in answer.text


def test_filters_by_channel_state_and_address(store: OutboxStore) -> None:
    store.accept([message(1), message(2, status="failed")])
    keep_mail(store)
    assert ask(store, "?channel=email").text.count('class="card ') == 1
    assert ask(store, "?channel=sms&state=failed").text.count('class="card ') == 1
    assert ask(store, "?channel=nonsense&state=nonsense").text.count('class="card ') == 3
    found = ask(store, method="POST", data={"address": "an@exam"}).text
    assert found.count('class="card ') == 1
    assert 'value="an@exam"' in found
    assert "No message meets" in ask(store, method="POST", data={"address": "nobody"}).text


def test_no_address_stands_in_any_link(store: OutboxStore) -> None:
    store.accept([message(n) for n in range(60)])
    page = ask(store).text
    assert "4477009" not in "".join(part.split('"', 1)[0] for part in page.split('href="')[1:])
    same = ask(store, "?same=3").text  # three of the sixty go to each of twenty... the same ten numbers
    assert same.count('class="card ') == 6
    assert "+447700900002" in same


def test_pages_follow_each_other_without_gap(store: OutboxStore) -> None:
    store.accept([message(n) for n in range(90)])
    seen: list[int] = []
    path = ""
    while True:
        page = ask(store, path).text
        seen += [int(part.split("?", 1)[0]) for part in page.split('<a href="/outbox/')[1:] if part[0].isdigit()]
        older = [part.split('"', 1)[0] for part in page.split('href="/outbox')[1:] if "before=" in part.split('"')[0]]
        if not older:
            break
        path = unescape(older[0])
    assert seen == list(range(90, 0, -1))


def test_an_unknown_message_is_404_in_words(store: OutboxStore) -> None:
    for number in ("/1", "/0", f"/{2**63}"):
        answer = ask(store, number)
        assert (answer.status_code, "There is no such message" in answer.text) == (404, True)
    assert ask(store, "?before=0").status_code == 422


def test_refusals_are_shown_apart(store: OutboxStore) -> None:
    store.refuse("sms", "+447700900011", "21211", "not valid", NOON)
    page = ask(store, "?lang=zh").text
    assert "被拒收" in page
    assert "21211" in page


def test_callbacks_and_facts_are_on_the_page_of_a_message(store: OutboxStore) -> None:
    (kept,) = store.accept([message(1)])
    store.note_callback(kept.sid, "sent", 1, "ConnectError", NOON)
    page = ask(store, f"/{kept.id}").text
    assert "ConnectError" in page
    assert kept.sid in page


def test_programs_read_messages_and_counts_as_json(store: OutboxStore) -> None:
    store.accept([message(1), message(11)])
    listed = ask(store, "/messages.json?after=1").json()["messages"]
    assert [m["body"] for m in listed] == ["body 11"]
    assert ask(store, "/counts.json?channel=sms").json() == {"counts": {"+447700900001": 2}}


def test_a_redacted_message_says_so(store: OutboxStore) -> None:
    number = keep_mail(store)
    store.redact(message(7).sid, NOON)
    assert "text removed" in ask(store, f"/{number}").text
    assert "plain words" not in ask(store, f"/{number}").text


def test_the_style_is_plain_css(store: OutboxStore) -> None:
    answer = ask(store, "/outbox.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert "@import" not in answer.text
    assert "url(" not in answer.text
