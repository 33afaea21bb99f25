"""Sessions of the console: who gets one, what it is worth, when it ends."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents.clock import ManualClock
from incidents.errors import NotAuthenticated
from notifier.vault import MasterKeys
from tests.tocsin.conftest import Client, Door
from tocsin.console.console import _local
from tocsin.console.sessions import LASTS, Sessions

HTML = {"Accept": "text/html"}


def log_in(door: Door, key: str, **form: str) -> str | None:
    """The session cookie that a key gets, as a Cookie header's value."""
    answer = door.ask("POST", "/login", by=None, data={"key": key, **form})
    if answer.status_code != 303:
        return None
    return answer.headers["set-cookie"].partition(";")[0]


def status(door: Door, cookie: str | None) -> int:
    headers = HTML | ({"Cookie": cookie} if cookie else {})
    return door.get("/", by=None, headers=headers).status_code


def test_without_a_session_pages_lead_to_the_login(door: Door) -> None:
    for path in ("/", "/incidents/INC-7F3K-9Q2M?cursor=x"):
        answer = door.get(path, by=None, headers=HTML)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=%2F")


def test_a_key_that_may_read_gets_a_session(door: Door) -> None:
    answer = door.ask("POST", "/login", by=None, data={"key": f" {door.key('auditor')} ", "next": "/incidents/x"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/incidents/x")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert f"Max-Age={int(LASTS.total_seconds())}" in cookie
    assert door.key("auditor") not in cookie
    assert status(door, cookie.partition(";")[0]) == 200


def test_a_wrong_key_and_a_detectors_key_get_none(door: Door) -> None:
    wrong = door.ask("POST", "/login", by=None, data={"key": "tocsin_nonsense"})
    siem = door.ask("POST", "/login", by=None, data={"key": door.key("siem")})

    assert (wrong.status_code, siem.status_code) == (401, 403)
    assert "set-cookie" not in wrong.headers
    assert "set-cookie" not in siem.headers
    assert "nonsense" not in wrong.text


def test_guessing_has_to_wait(door: Door) -> None:
    answers = [door.ask("POST", "/login", by=None, data={"key": "guess"}).status_code for _ in range(11)]

    assert answers == [401] * 10 + [429]


def test_a_session_ends_by_itself_with_its_key_and_at_logout(door: Door, clock: ManualClock) -> None:
    cookie = log_in(door, door.key("auditor"))
    assert status(door, cookie) == 200

    clock.advance(LASTS - timedelta(seconds=1))
    assert status(door, cookie) == 200
    clock.advance(timedelta(seconds=1))
    assert status(door, cookie) == 303

    again = log_in(door, door.key("auditor"))
    (info,) = [key for key in door.services.keys.list() if key.name == "auditor"]
    door.services.keys.revoke(info.key_id)
    assert status(door, again) == 303
    out = door.ask("POST", "/logout", by=None, headers={"Cookie": cookie or ""})
    assert out.status_code == 303
    assert "Max-Age=0" in out.headers["set-cookie"]


def test_a_forged_cookie_is_worth_nothing(door: Door, clock: ManualClock) -> None:
    (info,) = [door.services.keys.create("root", ["auditor"], created_by="user:test")[0]]
    others = Sessions(MasterKeys("k", {"k": b"x" * 32}), clock).make(info.key_id)
    good = Sessions(door.services.vault.keys, clock).make(info.key_id)
    version, payload, signature = good.split(".")

    assert status(door, f"tocsin_session={good}") == 200
    for forged in (
        others,
        f"{version}.{payload}",
        f"{version}.{payload}x.{signature}",
        f"v2.{payload}.{signature}",
        f"{version}..{signature}",
        "x" * 4_000,
    ):
        assert status(door, f"tocsin_session={forged}") == 303, forged


def test_a_session_outlives_a_rotation_of_the_master_key(clock: ManualClock) -> None:
    old, new = b"o" * 32, b"n" * 32
    before = Sessions(MasterKeys("old", {"old": old}), clock)
    after = Sessions(MasterKeys("new", {"old": old, "new": new}), clock)
    only_new = Sessions(MasterKeys("new", {"new": new}), clock)

    assert after.key_of(before.make("0123456789")) == "0123456789"
    assert only_new.key_of(after.make("0123456789")) == "0123456789", "signed with the current key"
    with pytest.raises(NotAuthenticated):
        only_new.key_of(before.make("0123456789"))


def test_a_session_is_not_a_key(door: Door) -> None:
    cookie = log_in(door, door.key("analyst")) or ""

    assert door.get("/v1/whoami", by=None, headers={"Cookie": cookie}).status_code == 401


def test_forms_of_other_sites_are_refused(door: Door) -> None:
    for path in ("/login", "/logout"):
        answer = door.ask(
            "POST", path, by=None, data={"key": door.key("auditor")}, headers={"Sec-Fetch-Site": "cross-site"}
        )
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("address", "led_to"),
    [
        ("/incidents/INC-7F3K-9Q2M?cursor=x", "/incidents/INC-7F3K-9Q2M?cursor=x"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("", "/"),
    ],
)
def test_the_login_leads_to_this_host_only(address: str, led_to: str) -> None:
    assert _local(address) == led_to


def test_a_cookie_that_says_nonsense_under_a_good_signature_is_refused(clock: ManualClock) -> None:
    sessions = Sessions(MasterKeys("k", {"k": b"x" * 32}), clock)
    signed = f"v1.bm9uc2Vuc2U.{sessions._sign('bm9uc2Vuc2U')}"

    with pytest.raises(NotAuthenticated):
        sessions.key_of(signed)


def test_logins_from_elsewhere_are_not_held_up(door: Door) -> None:
    for _ in range(11):
        door.ask("POST", "/login", by=None, data={"key": "guess"})
    elsewhere = Client(door.client.portal, door.client.app, address="198.51.100.7")
    answer = elsewhere.request("POST", "/login", data={"key": door.key("auditor")})
    elsewhere.close()

    assert answer.status_code == 303
