"""Keys: wrong, expired, revoked; and what too many wrong ones lead to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from incidents.clock import ManualClock
from tests.tocsin.conftest import Client, Door, problem
from tocsin.access.answers import Answer
from tocsin.api.attempts import Attempts, network_of
from tocsin.services import Services


def test_whoami_tells_what_the_key_may_do(door: Door) -> None:
    shown = door.get("/v1/whoami", by="approver").json()

    assert (shown["name"], shown["actor"], shown["roles"]) == ("approver", "user:approver", ["approver"])
    assert shown["permissions"] == ["approve", "decide-duties", "read"]


@pytest.mark.parametrize(
    "header",
    [
        "Bearer nonsense",
        "Bearer tocsin_0123456789_" + "A" * 43,
        "Basic dXNlcjpwYXNz",
        "Bearer ",
        "Bearer " + "x" * 5_000,
        "tocsin_0123456789_" + "A" * 43,
    ],
)
def test_a_wrong_key_is_refused_and_counted(door: Door, header: str) -> None:
    before = door.services.metrics.refused.labels(problem="not-authenticated")._value.get()

    answer = door.get("/v1/whoami", by=None, headers={"Authorization": header})

    problem(answer, 401, "not-authenticated")
    assert door.services.metrics.refused.labels(problem="not-authenticated")._value.get() == before + 1


def test_an_expired_key_says_when_it_expired(door: Door, clock: ManualClock) -> None:
    _, key = door.services.keys.create(
        "short", ["auditor"], created_by="user:test", expires_at=clock.now() + timedelta(hours=1)
    )
    headers = {"Authorization": f"Bearer {key}"}
    assert door.get("/v1/whoami", by=None, headers=headers).status_code == 200

    clock.advance(timedelta(hours=2))

    assert "expired" in problem(door.get("/v1/whoami", by=None, headers=headers), 401, "not-authenticated")["detail"]


def test_a_key_is_made_shown_once_and_revoked(door: Door) -> None:
    made = door.post("/v1/keys", {"name": "siem-1", "roles": ["siem"]}, by="admin", headers={"Idempotency-Key": "k"})
    assert made.status_code == 201
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    assert door.get("/v1/whoami", by=None, headers=headers).json()["actor"] == "siem:siem-1"

    again = door.post("/v1/keys", {"name": "siem-1", "roles": ["siem"]}, by="admin", headers={"Idempotency-Key": "k"})
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["info"] == made.json()["info"]
    assert again.json()["key"] is None
    assert made.json()["info"]["key_id"] in again.json()["hint"]
    assert made.json()["hint"] is None
    assert made.json()["key"] not in door.get("/v1/keys", by="admin").text

    key_id = made.json()["info"]["key_id"]
    assert door.ask("DELETE", f"/v1/keys/{key_id}", by="admin").status_code == 204
    assert "revoked" in problem(door.get("/v1/whoami", by=None, headers=headers), 401, "not-authenticated")["detail"]


def test_a_key_asked_for_several_times_at_once_is_made_once(door: Door) -> None:
    """Nobody is refused for the name that the same command has just taken, now or later."""
    door.key("admin")
    body, headers = {"name": "siem-1", "roles": ["siem"]}, {"Idempotency-Key": "k"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: door.post("/v1/keys", body, by="admin", headers=headers), range(8)))
    later = door.post("/v1/keys", body, by="admin", headers=headers)

    assert [answer.status_code for answer in [*answers, later]] == [201] * 9
    assert len({answer.json()["info"]["key_id"] for answer in [*answers, later]}) == 1
    (secret,) = [answer.json()["key"] for answer in answers if answer.json()["key"] is not None]
    assert all((answer.json()["key"] is None) == bool(answer.json()["hint"]) for answer in [*answers, later])
    headers = {"Authorization": f"Bearer {secret}"}
    assert door.get("/v1/whoami", by=None, headers=headers).json()["actor"] == "siem:siem-1"


def test_a_key_whose_answer_was_lost_is_found_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_args: object) -> None:
        raise ConnectionError("the process is cut off between effect and answer")

    body, headers = {"name": "siem-1", "roles": ["siem"]}, {"Idempotency-Key": "k"}
    with monkeypatch.context() as patch:
        patch.setattr(door.services.answers, "remember", lost)
        problem(door.post("/v1/keys", body, by="admin", headers=headers), 500, "internal")

    again = door.post("/v1/keys", body, by="admin", headers=headers)

    assert (again.status_code, again.json()["key"]) == (201, None)
    assert again.json()["info"]["name"] == "siem-1"
    problem(door.post("/v1/keys", body, by="admin", headers={"Idempotency-Key": "l"}), 422, "invalid-input")


def test_a_remembered_refusal_gives_way_to_a_success_but_not_the_other_way(services: Services) -> None:
    answers = services.answers
    refused, made = Answer(422, "{}", {}), Answer(201, '{"id": 1}', {"etag": '"1"'})
    answers.remember("key", "k", b"digest", refused)
    answers.remember("key", "k", b"another", made)
    assert answers.recall("key", "k", b"digest") == refused

    answers.remember("key", "k", b"digest", made)
    answers.remember("key", "k", b"digest", refused)

    assert answers.recall("key", "k", b"digest") == made


def test_the_key_in_use_cannot_be_revoked(door: Door) -> None:
    own = door.get("/v1/whoami", by="admin").json()["key_id"]

    problem(door.ask("DELETE", f"/v1/keys/{own}", by="admin"), 409, "illegal-transition")
    problem(door.ask("DELETE", "/v1/keys/ffffffffff", by="admin"), 404, "not-found")


def test_too_many_wrong_keys_from_one_network_have_to_wait(door: Door, clock: ManualClock) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    for _ in range(10):
        problem(door.get("/v1/whoami", by=None, headers=wrong), 401, "not-authenticated")

    refused = door.get("/v1/whoami", by=None, headers=wrong)
    problem(refused, 429, "too-many-attempts")
    elsewhere = Client(door.client.portal, door.client.app, address="198.51.100.7")
    assert elsewhere.request("GET", "/v1/whoami", headers=wrong).status_code == 401
    elsewhere.close()

    clock.advance(timedelta(seconds=int(refused.headers["retry-after"])))
    assert door.get("/v1/whoami", by="auditor").status_code == 200


def test_the_memory_of_attempts_is_bounded(clock: ManualClock) -> None:
    attempts = Attempts(clock, burst=1, per_minute=1, max_addresses=100)
    for number in range(5_000):
        attempts.failed(f"10.0.{number // 250}.{number % 250}")

    assert len(attempts._left) == 100
    assert attempts.wait_seconds("10.0.19.249") == 60
    assert attempts.wait_seconds("10.0.0.0") == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_ipv6_customers_count_by_their_network(address: str, network: str) -> None:
    assert network_of(address) == network
