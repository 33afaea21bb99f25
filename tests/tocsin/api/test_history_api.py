"""What became of a person: for one role only, found without opening the vault, and every look on record."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID

import pytest

from incidents.errors import InvalidInput
from incidents.record import stable_id
from incidents.record.database import writing
from notifier.audience.tables import audience_marks, audience_members
from notifier.campaigns.events import DeliveriesRecorded, DeliveryMove
from notifier.deliveries.relay import DeliveryStream
from notifier.history.events import HistoryExportBegun, HistoryExported, HistoryRead
from projections.coverage.history_file import check_file
from tests.projections.stories import Teller
from tests.tocsin.api.test_campaigns_api import GOOD, campaign, incident, put_csv
from tests.tocsin.conftest import Door, problem
from tocsin.access.roles import Role
from tocsin.access.tables import remembered_answers

__all__ = ["campaign", "incident"]
WHY = "asked by telephone, ticket 4711"
MORE = GOOD + "Li Na,+8613800138000,li.na@example.com,zh-Hans,CN\n"


@pytest.fixture
def told(door: Door, campaign: str) -> tuple[str, UUID]:
    """A campaign in which the first of two people was told by text message, and that person's random id."""
    assert put_csv(door, campaign, MORE).status_code == 200
    door.settle()
    with door.services.engine.connect() as connection:
        found = connection.execute(audience_members.select().order_by(audience_members.c.position)).all()
    moved(door, campaign, found[0].recipient_id, "claimed", "accepted")
    moved(door, campaign, found[0].recipient_id, "delivered")
    door.settle()
    return campaign, found[0].recipient_id


def moved(door: Door, campaign: str, person: UUID, *states: str, code: str | None = None) -> None:
    clock: Any = door.services.clock
    teller, stream = Teller(door.services.record, clock), stable_id("deliveries", campaign)
    head = next(iter(door.services.record.events.get(stream, desc=True, limit=1)), None)
    teller._streams[stream] = DeliveryStream.at(stream, head.originator_version if head else 0)
    moves = [
        DeliveryMove(
            recipient=person,
            delivery=stable_id("one", str(person)),
            channel="sms",
            state=state,
            at=clock.now(),
            provider_id="SM1",
            code=code,
            language="zh-Hans",
        )
        for state in states
    ]
    incident_id = door.services.campaigns.view(UUID(campaign)).incident_id
    teller.tell(
        stream, DeliveriesRecorded, incident_id=incident_id, campaign_id=UUID(campaign), up_to=1, moves=tuple(moves)
    )


def looks(door: Door) -> list[Any]:
    read = door.services.record.read(0, 10_000, kinds=[HistoryRead.kind, HistoryExportBegun.kind, HistoryExported.kind])
    return [recorded.event for recorded in read]


@pytest.mark.parametrize("address", ["+86 138 0013 8000", "LI.NA@example.com"])
def test_a_person_is_found_by_any_of_their_addresses(door: Door, told: tuple[str, UUID], address: str) -> None:
    campaign, person = told
    answer = door.post("/v1/history/search", {"address": address, "reason": WHY}, by=Role.PRIVACY)
    assert answer.status_code == 200, answer.text
    (one,) = answer.json()["items"]
    assert (one["campaign_id"], one["recipient_id"], one["outcome"]) == (campaign, str(person), "delivered")
    (delivery,) = one["deliveries"]
    moves = [(move["state"], move["event"]) for move in delivery["moves"]]
    stream = stable_id("deliveries", campaign)
    assert moves == [
        ("claimed", f"event:{stream}/1"),
        ("accepted", f"event:{stream}/1"),
        ("delivered", f"event:{stream}/2"),
    ]
    (look,) = looks(door)
    assert (look.actor, look.by, look.reason) == ("user:privacy", "address", WHY)
    assert (look.campaigns, look.recipients) == ((UUID(campaign),), (person,))
    assert "13800138000" not in look.model_dump_json()
    assert "example" not in look.model_dump_json()


def test_a_search_that_finds_nobody_is_on_record_too(door: Door, told: tuple[str, UUID]) -> None:
    answer = door.post("/v1/history/search", {"address": "nobody@example.com", "reason": WHY}, by=Role.PRIVACY)
    assert answer.json() == {"items": [], "unsearched": []}
    (look,) = looks(door)
    assert (look.campaigns, look.recipients, look.incident_id) == ((), (), None)


def test_audiences_of_before_there_were_marks_are_said_to_be_unsearched(door: Door, told: tuple[str, UUID]) -> None:
    campaign, person = told
    with writing(door.services.engine) as connection:
        connection.execute(audience_marks.delete())
    asked = {"address": "+8613800138000", "reason": WHY}
    answer = door.post("/v1/history/search", asked, by=Role.PRIVACY).json()
    audience = door.services.campaigns.view(UUID(campaign)).audience_id
    assert (answer["items"], answer["unsearched"]) == ([], [str(audience)])
    by_id = door.post("/v1/history/search", {"recipient": str(person), "reason": WHY}, by=Role.PRIVACY).json()
    assert by_id["unsearched"] == [], "a search by anything else finds them"
    assert by_id["items"][0]["channels"] == ["sms", "email"]


def test_a_body_that_is_not_json_is_refused_as_everywhere(door: Door, told: tuple[str, UUID]) -> None:
    deep = b'{"reason":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}"
    for content, media, status, code in (
        (deep, "application/json", 400, "malformed-request"),
        (b"reason=x", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
    ):
        headers = {"Content-Type": media}
        answer = door.ask("POST", "/v1/history/search", content=content, headers=headers, by=Role.PRIVACY)
        problem(answer, status, code)
    assert not looks(door)


def test_whoever_was_erased_is_not_found_by_address(door: Door, told: tuple[str, UUID]) -> None:
    _, person = told
    assert door.ask("DELETE", f"/v1/recipients/{person}", by=Role.ADMIN).status_code == 204
    by_address = door.post("/v1/history/search", {"address": "+8613800138000", "reason": WHY}, by=Role.PRIVACY)
    assert by_address.json()["items"] == []
    by_id = door.post("/v1/history/search", {"recipient": str(person), "reason": WHY}, by=Role.PRIVACY)
    assert [one["outcome"] for one in by_id.json()["items"]] == ["delivered"], "what was done stays on record"


@pytest.mark.parametrize(
    "body",
    [
        {"reason": WHY},
        {"address": "lan@example.com"},
        {"address": "lan@example.com", "recipient": str(UUID(int=1)), "reason": WHY},
        {"address": "neither one nor the other", "reason": WHY},
        {"address": "lan@example.com", "reason": "she is lan@example.com"},
    ],
)
def test_bad_questions_are_refused_and_reveal_nothing(door: Door, body: dict[str, str]) -> None:
    answer = door.post("/v1/history/search", body, by=Role.PRIVACY)
    assert answer.status_code == 422, answer.text
    assert not looks(door)


def test_a_file_holds_everybody_and_its_root_is_on_record(door: Door, told: tuple[str, UUID]) -> None:
    campaign, person = told
    path = f"/v1/campaigns/{campaign}/history-file"
    answer = door.post(path, {"reason": WHY}, by=Role.PRIVACY)
    assert answer.headers["content-type"] == "application/x-ndjson"
    checked = check_file(io.BytesIO(answer.content))
    assert checked.recipients == 2
    assert {name: people for name, people in checked.outcomes.items() if people} == {"delivered": 1, "pending": 1}
    begun, look = looks(door)
    assert isinstance(begun, HistoryExportBegun), "on record before the first line"
    assert (look.root, look.recipients, look.whole) == (checked.root, 2, True)
    assert str(person) in answer.text
    assert "13800138000" not in answer.text
    assert "example.com" not in answer.text

    lines = door.post(path, {"reason": WHY, "format": "csv"}, by=Role.PRIVACY).text.splitlines()
    assert lines[0].startswith("position,recipient,language,outcome,")
    assert [line.split(",")[3] for line in lines[1:]] == ["delivered", "pending"]


def test_a_file_that_was_altered_does_not_pass(door: Door, told: tuple[str, UUID]) -> None:
    path = f"/v1/campaigns/{told[0]}/history-file"
    whole = door.post(path, {"reason": WHY}, by=Role.PRIVACY).content
    for bad in (whole.replace(b'"pending"', b'"failed"', 1), whole[: whole.rindex(b'{"kind":"end"')], b"[]\n"):
        with pytest.raises(InvalidInput, match=r"altered|breaks off|no JSON object"):
            check_file(io.BytesIO(bad))


def test_no_file_of_a_campaign_that_is_not_there(door: Door) -> None:
    path = f"/v1/campaigns/{UUID(int=4)}/history-file"
    problem(door.post(path, {"reason": WHY}, by=Role.PRIVACY), 404, "not-found")
    problem(door.post(path, by=Role.PRIVACY), 422, "invalid-input")
    assert not looks(door)


def test_what_was_answered_is_not_kept_for_repeats(door: Door, told: tuple[str, UUID]) -> None:
    ask = {"address": "li.na@example.com", "reason": WHY}
    key = {"Idempotency-Key": "one-look"}
    answers = [door.post("/v1/history/search", ask, by=Role.PRIVACY, headers=key).json() for _ in range(2)]

    assert answers[0] == answers[1]
    assert answers[0]["items"]
    assert len(looks(door)) == 1, "the same command has one effect"
    with door.services.engine.connect() as connection:
        kept = connection.execute(remembered_answers.select().where(remembered_answers.c.idempotency_key == "one-look"))
        assert kept.all() == []


def test_another_question_under_the_same_key_is_another_look(door: Door, told: tuple[str, UUID]) -> None:
    key = {"Idempotency-Key": "one-key-for-all"}
    people = ("li.na@example.com", "an.nguyen@example.com", "nobody@example.com", "nobody.else@example.com")
    for address in people:
        answer = door.post("/v1/history/search", {"address": address, "reason": WHY}, by=Role.PRIVACY, headers=key)
        assert answer.status_code == 200, answer.text
    assert len(looks(door)) == len(people)
