"""The page of the list of addresses not to be written to, and the page where people unsubscribe."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert

from incidents.record.database import writing
from notifier.channels.unsubscribe import PURPOSE, UnsubscribeUrls
from notifier.deliveries.moves import new_delivery
from notifier.deliveries.notices import Notice, Notices
from notifier.deliveries.tables import deliveries, sendings
from notifier.vault import Contact
from tests.rows import sending_row
from tests.tocsin.conftest import Door
from tests.tocsin.console.test_console_pages import HTML, Page
from tests.tocsin.console.test_filing_page import logged_in

ADDRESS = "lan.anh@example.com"
PATH = "/suppressions"


def send(door: Door, data: dict[str, str], *roles: str) -> Any:
    return door.client.request("POST", PATH, data=data, headers=logged_in(door, *roles))


def test_ask_add_and_lift_in_both_languages(door: Door) -> None:
    added = send(door, {"what": "add", "address": ADDRESS, "note": "asked on the phone"}, "analyst")
    assert added.status_code == 200, added.text
    assert "asked on the phone" in added.text
    assert ADDRESS not in added.text, "the page does not repeat it either"
    (entry,) = door.services.notifier.suppressions.of(ADDRESS)
    assert "email · email" not in added.text, "said once"
    for lang, word in (("en", "added by a person"), ("zh", "人工加入")):
        page = door.client.request("GET", PATH, params={"lang": lang}, headers=logged_in(door, "auditor"))
        assert not Page(page.text).open, "balanced"
        assert word in page.text
        assert 'name="address"' not in page.text, "an auditor looks only"
    lifted = send(
        door, {"what": "lift", "suppression": str(entry.suppression_id), "reason": "wrong person"}, "approver"
    )
    assert lifted.status_code == 303
    assert door.services.notifier.suppressions.newest() == ()


def test_what_is_refused(door: Door) -> None:
    refused = send(door, {"what": "add", "address": "lan at example"}, "analyst")
    assert refused.status_code == 422
    assert "email address" in refused.text
    assert send(door, {"what": "add", "address": ADDRESS}, "auditor").status_code == 403
    assert send(door, {"what": "lift", "suppression": str(uuid4()), "reason": "x"}, "analyst").status_code == 403
    assert send(door, {"what": "lift", "suppression": "x", "reason": "x"}, "approver").status_code == 422
    foreign = logged_in(door, "analyst") | {"sec-fetch-site": "cross-site"}
    assert door.client.request("POST", PATH, data={"what": "ask"}, headers=foreign).status_code == 403
    nobody = HTML | {"cookie": "tocsin_session=none"}
    assert door.client.request("POST", PATH, data={"what": "ask"}, headers=nobody).status_code == 303
    assert door.services.notifier.suppressions.newest() == ()


@pytest.fixture
def token(door: Door, monkeypatch: pytest.MonkeyPatch) -> str:
    """The last part of the address in one person's mail, of a category that people may unsubscribe from."""
    services = door.services
    (person,) = services.vault.add([Contact(name="Lan Anh", email=ADDRESS)])
    campaign = uuid4()
    row = new_delivery(campaign, person, "email", 0, services.clock.now())
    with writing(services.engine) as connection:
        connection.execute(insert(sendings).values(sending_row(campaign, services.clock.now())))
        connection.execute(insert(deliveries).values(**row))
    _approved(monkeypatch, duties=())
    urls = UnsubscribeUrls("https://x.example", services.vault.keys.derive(PURPOSE))
    return urls.url_for(UUID(str(row["delivery_id"]))).rpartition("/")[2]


def _approved(monkeypatch: pytest.MonkeyPatch, *, duties: tuple[str, ...]) -> None:
    def of(self: Notices, campaign_id: UUID) -> Any:
        manifest = self._templates.get("personal-data-breach").manifest
        template: Any = SimpleNamespace(manifest=manifest.model_copy(update={"unsubscribable": True}))
        return Notice(template, {}, uuid4(), category="newsletter", by_law=bool(duties))

    monkeypatch.setattr(Notices, "of", of)


def test_one_click_unsubscribes_and_looking_does_not(door: Door, token: str) -> None:
    looked = door.client.request("GET", f"/u/{token}", headers=HTML)
    assert looked.status_code == 200
    assert "<form" in looked.text
    assert ADDRESS not in looked.text
    assert door.services.notifier.suppressions.newest() == (), "scanners of mail follow links"

    one_click = {"List-Unsubscribe": "One-Click"}
    answer = door.client.request("POST", f"/u/{token}", data=one_click)

    assert answer.status_code == 200
    (entry,) = door.services.notifier.suppressions.of(ADDRESS)
    assert (entry.reason, entry.channel, entry.category) == ("unsubscribed", "email", "newsletter")
    assert door.client.request("POST", f"/u/{token}", data=one_click).status_code == 200
    assert len(door.services.notifier.suppressions.of(ADDRESS)) == 1
    page = door.client.request("POST", f"/u/{token}", headers=HTML)
    assert "You will not get" in page.text


def test_a_guessed_address_is_none(door: Door, token: str) -> None:
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    for name in (wrong, "x", f"{uuid4().hex}.{'0' * 32}"):
        assert door.client.request("POST", f"/u/{name}").status_code == 404
    assert door.services.notifier.suppressions.newest() == ()


def test_nobody_unsubscribes_from_what_the_law_demands(door: Door, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _approved(monkeypatch, duties=("eu.gdpr.34",))
    assert door.client.request("POST", f"/u/{token}").status_code == 404
    assert door.services.notifier.suppressions.newest() == ()
