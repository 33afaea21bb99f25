"""A test of the notice goes to colleagues only, says that it is one, and counts for nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from incidents.clock import SystemClock
from notifier.deliveries import counters
from notifier.history.events import CampaignTested
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.smtp_server import serve_smtp
from tests.tocsin.api.test_campaigns_api import GOOD, campaign, incident, put_csv
from tests.tocsin.conftest import MASTER_KEY, Door, problem
from tocsin.access.roles import Role
from tocsin.settings import Settings

__all__ = ["campaign", "incident"]


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[tuple[int, OutboxStore]]:
    """A mail server in a thread of its own."""
    loop, store = asyncio.new_event_loop(), OutboxStore(tmp_path / "outbox.sqlite")
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, loop).result(30)

    server = run(serve_smtp("127.0.0.1", 0, store, clock=SystemClock().now))
    yield server.port, store
    run(server.close())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    store.close()


@pytest.fixture
def settings(tmp_path: Path, database_url: str, mail: tuple[int, OutboxStore]) -> Settings:
    owners = {"dpo": {"name": "Data protection", "email": ["dpo@lantern.example", "deputy@lantern.example"]}}
    given: dict[str, Any] = {
        "database_url": database_url,
        "organisation_file": tmp_path / "organisation.toml",
        "vault": {"master_keys": f"k1:{MASTER_KEY}"},
        "smtp": {
            "mode": "smtp",
            "host": "127.0.0.1",
            "port": mail[0],
            "tls": "none",
            "sender": "notice@lantern.example",
        },
        "warnings": {"enabled": False, "email": ["desk@lantern.example"], "owners": owners},
    }
    return Settings(**given)


def test_a_test_goes_to_colleagues_and_says_that_it_is_one(
    door: Door, campaign: str, mail: tuple[int, OutboxStore]
) -> None:
    assert put_csv(door, campaign, GOOD).status_code == 200
    before = door.get(f"/v1/campaigns/{campaign}").json()["campaign"]
    answer = door.post(f"/v1/campaigns/{campaign}/test-mails", {"to": ["dpo"]})
    assert answer.status_code == 200, answer.text
    assert [(one["to"], one["language"], one["outcome"]) for one in answer.json()["mails"]] == [
        ("dpo", language, "accepted") for language in ("vi", "zh-Hans") for _ in range(2)
    ]
    sent = mail[1].messages()
    assert {message.recipient for message in sent} == {"dpo@lantern.example", "deputy@lantern.example"}
    vietnamese = next(message for message in sent if "THỬ" in (message.subject or ""))
    whole = message_from_bytes(vietnamese.raw or b"", policy=policy.default)
    text = whole.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    page = whole.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert text.startswith("*** Đây là thư thử")
    assert page.index("Đây là thư thử") < page.index("Lantern Bank")
    assert "Nội dung tin nhắn:" in text
    assert "An Nguyen" not in text, "nobody of the audience is in it"

    assert counters(door.services.engine, None) is None
    after = door.get(f"/v1/campaigns/{campaign}").json()["campaign"]
    assert (after["version"], after["status"]) == (before["version"], before["status"])
    (event,) = [one.event for one in door.services.record.read(0, 10_000, kinds=[CampaignTested.kind])]
    assert (event.to, event.accepted, event.refused) == (("dpo",), 4, 0)  # type: ignore[attr-defined]
    assert "lantern.example" not in event.model_dump_json()


@pytest.mark.parametrize("to", ["an.nguyen@example.com", "nobody"])
def test_nobody_but_a_colleague_can_be_named(door: Door, campaign: str, mail: tuple[int, OutboxStore], to: str) -> None:
    put_csv(door, campaign, GOOD)
    assert door.post(f"/v1/campaigns/{campaign}/test-mails", {"to": [to]}).status_code == 422
    assert mail[1].messages() == []


def test_no_test_once_it_was_started(door: Door, campaign: str, mail: tuple[int, OutboxStore]) -> None:
    put_csv(door, campaign, GOOD)
    asked = door.post(f"/v1/campaigns/{campaign}/approval-request").json()
    digests = {"text_digest": asked["text_digest"], "audience_digest": asked["audience_digest"]}
    body = {**digests, "override_reason": "the facts are still being looked into"}
    approved = door.post(f"/v1/campaigns/{campaign}/approval", body, by=Role.APPROVER)
    assert approved.status_code == 200, approved.text
    door.settle()
    status = door.get(f"/v1/campaigns/{campaign}").json()["campaign"]["status"]
    answer = door.post(f"/v1/campaigns/{campaign}/test-mails", {"to": ["dpo"]})
    if status == "started":
        problem(answer, 409, "illegal-transition")
        assert mail[1].messages() == []
    else:
        assert answer.status_code == 200
