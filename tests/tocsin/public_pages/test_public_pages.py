"""The pages where anybody checks a notice: what they show, to whom, and how often."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest
from anyio.from_thread import start_blocking_portal
from httpx import Response
from sqlalchemy import insert, select
from typer.testing import CliRunner

from incidents.clock import ManualClock
from incidents.record.database import reading, writing
from notifier.campaigns.campaign import Campaign
from notifier.deliveries.moves import new_delivery
from notifier.deliveries.tables import campaign_recipients, deliveries, sendings
from tests.rows import sending_row
from tests.tocsin.api.test_campaigns_api import GOOD, incident, put_csv, values
from tests.tocsin.conftest import PROFILE, Client, Door, problem
from tests.tocsin.console.test_console_pages import HTML, Page
from tocsin.api.app import create_app
from tocsin.cli import notices as cli
from tocsin.cli.main import app as commands
from tocsin.public_pages import words
from tocsin.settings import Settings
from tocsin.wiring import open_services

__all__ = ["incident"]
REFERENCE = "01234-ABCDE"
UNKNOWN = "0000000-0000000"  # well formed: its check is right


@pytest.fixture
def draft(door: Door, incident: str) -> UUID:
    """A campaign with an audience, of which nothing was sent."""
    body = {"template": "personal-data-breach", "values": values()}
    campaign = door.post(f"/v1/incidents/{incident}/campaigns", body).json()["campaign_id"]
    assert put_csv(door, campaign, GOOD).status_code == 200
    return UUID(campaign)


@pytest.fixture
def sent(door: Door, draft: UUID) -> UUID:
    """The campaign as it is once its first message was made, with one delivery to one person."""
    services = door.services
    campaign = services.record.load(Campaign, draft)
    assert services.notifier.public is not None
    services.notifier.public.publish(campaign, services.templates.get(campaign.template))
    person, now = uuid4(), services.clock.now()
    with writing(services.engine) as connection:
        connection.execute(
            insert(sendings).values(
                sending_row(
                    draft,
                    now,
                    incident_id=campaign.incident_id,
                    audience_id=campaign.audience_id,
                    planned_to=1,
                    planned=True,
                    accepted=1,
                )
            )
        )
        connection.execute(
            insert(campaign_recipients).values(
                campaign_id=draft,
                recipient_id=person,
                position=1,
                language="en",
                channels="email",
                reference=REFERENCE,
                outcome="accepted",
            )
        )
        row = new_delivery(draft, person, "email", 0, now)
        connection.execute(insert(deliveries).values(**row | {"state": "accepted", "rank": 3, "phase": "done"}))
    return draft


def code_of(door: Door, campaign: UUID) -> str:
    assert door.services.notifier.public is not None
    return door.services.notifier.public.check_of(campaign).code


def get(door: Door, path: str, language: str = "en", **headers: str) -> Response:
    return door.get(path, by=None, headers={**HTML, "Accept-Language": language, **headers})


def state_of(door: Door) -> str:
    with reading(door.services.engine) as connection:
        return str(connection.execute(select(deliveries.c.state)).scalar_one())


def title(answer: Response) -> str:
    found = re.search(r"<h1>(.*?)</h1>", answer.text)
    assert found is not None, answer.text
    return found[1]


def test_a_genuine_code_shows_the_notice_to_anybody(door: Door, sent: UUID) -> None:
    answer = get(door, f"/n/{code_of(door, sent)}")

    assert (answer.status_code, title(answer)) == (200, "This notice is genuine")
    page = Page(answer.text)
    assert not page.open
    for shown in ("Lantern Bank", code_of(door, sent), "November", "2026", "Incident desk"):
        assert shown in answer.text
    for personal in ("Li Na", "An Nguyen", "an.nguyen", "13800138000", REFERENCE, str(sent)):
        assert personal not in answer.text


@pytest.mark.parametrize(
    ("wish", "tag", "said"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.5", "zh-Hans", "此通知属实"),
        ("zh-TW", "zh-Hans", "此通知属实"),
        ("vi-VN,en;q=0.5", "vi", "Thông báo này là thật"),
        ("fr;q=1, vi;q=0.4, en;q=0.3", "vi", "Thông báo này là thật"),
        ("xx, *;q=x", "en", "This notice is genuine"),
        ("", "en", "This notice is genuine"),
    ],
)
def test_each_reader_gets_their_language(door: Door, sent: UUID, wish: str, tag: str, said: str) -> None:
    answer = get(door, f"/n/{code_of(door, sent)}", wish)

    assert (title(answer), answer.headers["content-language"]) == (said, tag)
    assert f'<html lang="{tag}">' in answer.text
    assert answer.headers["vary"] == "Accept-Language"


def test_every_language_of_the_notice_can_be_chosen(door: Door, sent: UUID) -> None:
    shown = {tag: get(door, f"/n/{code_of(door, sent)}?lang={tag}", "de") for tag in words.LANGUAGES}

    assert {answer.headers["content-language"] for answer in shown.values()} == set(words.LANGUAGES)
    assert len({answer.text for answer in shown.values()}) == 3
    assert "灯笼银行" in shown["zh-Hans"].text
    assert "Ngân hàng Đèn Lồng" in shown["vi"].text
    assert get(door, f"/n/{code_of(door, sent)}?lang=<script>").headers["content-language"] == "en"


@pytest.mark.parametrize("code", [UNKNOWN, "0", "<script>alert(1)<b>", "%00", "..%5C..", "客户", "A" * 3_000])
def test_an_unknown_code_gets_a_neutral_page_of_the_same_shape(door: Door, sent: UUID, code: str) -> None:
    answer, genuine = get(door, f"/n/{code}"), get(door, f"/n/{code_of(door, sent)}")

    assert (answer.status_code, title(answer)) == (404, "We do not know this code")
    assert "<script" not in answer.text
    assert not Page(answer.text).open
    varying = {"content-length", "x-request-id"}
    assert {k: v for k, v in answer.headers.items() if k not in varying} == {
        k: v for k, v in genuine.headers.items() if k not in varying
    }


def test_all_unknown_codes_look_the_same(door: Door, sent: UUID) -> None:
    wrong = code_of(door, sent)[:-1] + ("0" if code_of(door, sent)[-1] != "0" else "1")

    assert get(door, f"/n/{UNKNOWN}").text == get(door, f"/n/{wrong}").text == get(door, "/n/no").text


def test_a_draft_is_not_genuine(door: Door, draft: UUID) -> None:
    assert get(door, f"/n/{code_of(door, draft)}").status_code == 404


def test_the_pages_need_nothing_from_anywhere(door: Door, sent: UUID) -> None:
    for path in ("/n", f"/n/{code_of(door, sent)}", f"/n/{UNKNOWN}", f"/n/{code_of(door, sent)}/{REFERENCE}"):
        answer = get(door, path)
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.S)
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["style-src"] == f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"
        assert not re.search(r"<script|<img|<link|<iframe|src=|style=|onclick|url\(|@import", answer.text)
        assert "set-cookie" not in answer.headers
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex"


def test_only_what_is_the_same_for_all_may_be_kept_by_caches(door: Door, sent: UUID) -> None:
    code = code_of(door, sent)

    assert get(door, f"/n/{code}").headers["cache-control"] == "public, max-age=60"
    assert get(door, f"/n/{UNKNOWN}").headers["cache-control"] == "public, max-age=60"
    assert "no-store" in get(door, f"/n/{code}/{REFERENCE}").headers["cache-control"]
    assert "no-store" in get(door, f"/n/{code}?thanks=1").headers["cache-control"]


def test_a_code_can_be_typed(door: Door, sent: UUID) -> None:
    form = get(door, "/n")
    assert (form.status_code, title(form)) == (200, "Is this notice from us?")
    code = code_of(door, sent)

    typed = door.ask("POST", "/n", by=None, data={"code": f" {code.lower().replace('-', ' ')} ", "lang": "vi"})
    assert (typed.status_code, typed.headers["location"]) == (303, f"/n/{code}?lang=vi")
    slip = door.ask("POST", "/n", by=None, data={"code": "13800138000", "lang": "zh-Hans"}, headers=HTML)
    assert (slip.status_code, title(slip)) == (404, "我们没有发出过这个核验码")
    assert "13800138000" not in slip.text


def test_opening_a_link_counts_for_nothing_and_pressing_the_button_does(door: Door, sent: UUID) -> None:
    link = f"/n/{code_of(door, sent)}/{REFERENCE}"
    for method in ("GET", "HEAD"):
        assert door.ask(method, link, by=None, headers=HTML).status_code == 200
    assert "I have read this notice" in get(door, link).text
    assert state_of(door) == "accepted"

    for _ in range(2):
        pressed = door.ask("POST", link, by=None, data={"lang": "en"}, headers=HTML)
        assert (pressed.status_code, pressed.headers["location"]) == (303, f"/n/{code_of(door, sent)}?thanks=1&lang=en")
        assert state_of(door) == "read"
    assert "Thank you." in get(door, pressed.headers["location"]).text


def test_a_wrong_link_is_answered_like_a_right_one(door: Door, sent: UUID) -> None:
    code = code_of(door, sent)
    right, wrong = f"/n/{code}/{REFERENCE}", f"/n/{code}/ZZZZZ-99999"
    varying = ("x-request-id",)

    def plain(answer: Response) -> tuple[Any, ...]:
        return answer.status_code, answer.text, {k: v for k, v in answer.headers.items() if k not in varying}

    assert plain(get(door, wrong)) == plain(get(door, right))
    refused = door.ask("POST", wrong, by=None, headers=HTML)
    assert state_of(door) == "accepted"
    accepted = door.ask("POST", right, by=None, headers=HTML)
    assert state_of(door) == "read"
    assert plain(refused) == plain(accepted)


def test_a_link_with_an_unknown_code_leads_to_the_neutral_page(door: Door, sent: UUID) -> None:
    assert get(door, f"/n/{UNKNOWN}/{REFERENCE}").status_code == 404
    pressed = door.ask("POST", f"/n/{UNKNOWN}/{REFERENCE}", by=None, headers=HTML)
    assert get(door, pressed.headers["location"]).status_code == 404
    assert state_of(door) == "accepted"


def test_a_large_body_is_refused_unread(door: Door, sent: UUID) -> None:
    link = f"/n/{code_of(door, sent)}/{REFERENCE}"
    assert door.ask("POST", link, by=None, content=b"x" * 5_000).status_code == 413
    assert door.ask("POST", "/n", by=None, content=b"code=" + b"x" * 5_000).status_code == 413


@pytest.fixture
def narrow(settings: Settings, clock: ManualClock) -> Iterator[tuple[Client, Client]]:
    """Two callers of a door that takes 5 pages a minute from each and 20 at once from all."""
    limited = settings.model_copy(
        update={"notice_pages": settings.notice_pages.model_copy(update={"per_address_minute": 15, "per_second": 2})}
    )
    with open_services(limited, clock=clock, profile=PROFILE) as services, start_blocking_portal() as portal:
        app = create_app(services, show_within=0)
        callers = Client(portal, app), Client(portal, app, "198.51.100.7")
        yield callers
        for caller in callers:
            caller.close()


def test_too_many_questions_have_to_wait(narrow: tuple[Client, Client], clock: ManualClock) -> None:
    one, other = narrow
    first = [one.request("GET", f"/n/{UNKNOWN}").status_code for _ in range(16)]
    assert first == [404] * 15 + [429]  # this address has had its share
    assert [other.request("GET", "/n").status_code for _ in range(6)] == [200] * 5 + [429]  # and now all together
    busy = other.request("POST", f"/n/{UNKNOWN}/{REFERENCE}")
    assert (busy.status_code, title(busy)) == (429, "Too many questions at once")
    assert int(busy.headers["retry-after"]) >= 1
    assert "no-store" in busy.headers["cache-control"]

    clock.advance(timedelta(minutes=1))
    assert [caller.request("GET", "/n").status_code for caller in narrow] == [200, 200]


def test_those_who_are_asked_can_look_a_code_up(door: Door, draft: UUID) -> None:
    path = f"/v1/campaigns/{draft}/genuine"
    before = door.get(path, by="auditor").json()
    assert (before["first_sent_at"], before["languages"]) == (None, [])
    assert before["address"] == f"http://127.0.0.1:8000/n/{before['code']}"
    problem(door.get(f"/v1/notices/{before['code']}"), 404, "not-found")

    campaign = door.services.record.load(Campaign, draft)
    assert door.services.notifier.public is not None
    door.services.notifier.public.publish(campaign, door.services.templates.get(campaign.template))

    after = door.get(f"/v1/notices/{before['code'].lower().replace('-', '')}", by="auditor").json()
    assert (after["campaign_id"], after["languages"]) == (str(draft), ["en", "zh-Hans", "vi"])
    assert after == door.get(path, by="auditor").json()


def test_the_preview_shows_the_code_that_will_be_sent(door: Door, draft: UUID) -> None:
    code = code_of(door, draft)
    for language in words.LANGUAGES:
        shown = door.get(f"/v1/campaigns/{draft}/preview", params={"language": language}).json()
        assert f"/n/{code}/" in shown["sms"]["text"]
        assert code in shown["email"]["text"]
        assert code in shown["email"]["html"]


def test_the_incident_page_names_the_code(door: Door, incident: str, sent: UUID) -> None:
    door.settle()
    from tests.tocsin.console.test_filing_page import logged_in

    answer = door.client.request("GET", f"/incidents/{incident}", headers={**logged_in(door, "analyst"), **HTML})
    assert answer.status_code == 200
    assert code_of(door, sent) in answer.text


def test_the_command_line_says_what_the_api_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answer = {
        "campaign_id": "c",
        "code": UNKNOWN,
        "address": f"https://notify.example.org/n/{UNKNOWN}",
        "first_sent_at": None,
        "languages": [],
    }

    class Service:
        def __init__(self, url: str, key: str) -> None:
            assert (url, key) == ("http://x.example", "k")

        def get(self, path: str) -> dict[str, Any]:
            asked.append(path)
            return answer

    monkeypatch.setattr(cli, "Service", Service)
    here = ["--url", "http://x.example", "--key", "k"]
    shown = CliRunner().invoke(commands, ["notice", "code", "c", *here])
    assert "not shown as genuine" in shown.output
    answer |= {"first_sent_at": "2026-11-20T01:00:00Z", "languages": ["en", "vi"]}
    checked = CliRunner().invoke(commands, ["notice", "check", "7k3 m/9", *here])

    assert asked == ["/v1/campaigns/c/genuine", "/v1/notices/7k3%20m%2F9"]
    assert "genuine since 2026-11-20" in checked.output
    assert "languages en, vi" in checked.output


def test_every_word_of_the_pages_is_there_in_every_language() -> None:
    for key, texts in words.table().items():
        assert all(texts[language].strip() for language in words.LANGUAGES), key
