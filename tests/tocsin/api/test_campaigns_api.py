"""A notice over HTTP: drafted, given its audience, approved by a second person."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import yaml

from tests.tocsin.api.test_duties_api import FACTS
from tests.tocsin.conftest import Door, problem

HEADER = "name,phone,email,language,country\n"
GOOD = HEADER + "Li Na,+8613800138000,,zh-Hans,CN\nAn Nguyen,,an.nguyen@example.com,vi,VN\n"
BAD = GOOD + "No Contact,,,en,GB\n=cmd(),+8613800138001,,zh-Hans,CN\n"


def values() -> dict[str, Any]:
    """What the story's analyst writes, and what facts and profile say."""
    text = files("tocsin.story").joinpath("notice.yaml").read_text("utf-8")
    written: dict[str, Any] = yaml.safe_load(text)
    languages = ("en", "zh-Hans", "vi")
    return written | {
        "organisation": dict.fromkeys(languages, "Lantern Bank"),
        "contact_point": dict.fromkeys(languages, "Incident desk"),
        "contact_email": "desk@lantern.example",
        "occurred_on": "2026-11-19",
        "discovered_on": "2026-11-20",
    }


@pytest.fixture
def incident(door: Door) -> str:
    reported = door.report("Customer table copied", facts=FACTS)["id"]
    door.post(f"/v1/incidents/{reported}/transitions", {"transition": "triage"})
    door.settle()
    return str(reported)


@pytest.fixture
def campaign(door: Door, incident: str) -> str:
    body = {"template": "personal-data-breach", "values": values()}
    answer = door.post(f"/v1/incidents/{incident}/campaigns", body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/campaigns/{answer.json()['campaign_id']}"
    return str(answer.json()["campaign_id"])


def put_csv(door: Door, campaign: str, csv: str, *, accept_valid: bool = False, **headers: str) -> Any:
    return door.ask(
        "PUT",
        f"/v1/campaigns/{campaign}/audience",
        content=csv.encode(),
        params={"accept_valid": str(accept_valid).lower()},
        headers={"Content-Type": "text/csv", **headers},
    )


def test_a_draft_knows_what_the_duties_demand(door: Door, campaign: str) -> None:
    shown = door.get(f"/v1/campaigns/{campaign}").json()["campaign"]

    assert shown["status"] == "draft"
    assert shown["duties"]
    assert shown["required_items"]


def test_a_persons_contact_is_refused_in_the_text_and_gets_into_no_event(door: Door, campaign: str) -> None:
    before = door.events()
    written = values() | {"cause": {"en": "Li Na 13800138000 li.na@example.com"}}
    answer = door.ask("PUT", f"/v1/campaigns/{campaign}/text", json={"values": written})

    assert [error["field"] for error in problem(answer, 422, "invalid-input")["errors"]] == ["values.cause.en"]
    assert "138" not in answer.text
    assert door.events() == before


def test_a_notice_goes_from_draft_to_approval(door: Door, campaign: str) -> None:
    path = f"/v1/campaigns/{campaign}"
    attached = put_csv(door, campaign, GOOD)
    assert attached.status_code == 200, attached.text
    assert attached.json()["audience"]["recipients"] == 2
    assert attached.json()["campaign"]["by_channel"] == {"email": 1, "sms": 1}

    sms = door.get(f"{path}/preview", params={"language": "zh-Hans", "channel": "sms"}).json()
    assert (sms["email"], "Lantern Bank" in sms["sms"]["text"]) == (None, True)
    both = door.get(f"{path}/preview", params={"language": "vi"}).json()
    assert both["sms"]["text"]
    assert both["email"]["html"]

    asked = door.post(f"{path}/approval-request")
    assert (asked.status_code, asked.json()["status"]) == (200, "awaiting_approval"), asked.text
    digests = {name: asked.json()[name] for name in ("text_digest", "audience_digest")}
    other = {**digests, "text_digest": "sha256:0"}
    assert problem(door.post(f"{path}/approval", other, by="approver"), 409, "conflict")["errors"][0]["field"] == (
        "text_digest"
    )
    reason = {"override_reason": "Counsel: the rest follows by letter."} if asked.json()["missing_items"] else {}
    approved = door.post(f"{path}/approval", {**digests, **reason}, by="approver")
    assert (approved.status_code, approved.json()["status"]) == (200, "approved"), approved.text
    assert approved.json()["approved_by"] == "user:approver"
    door.settle()
    assert door.get(f"{path}/coverage", by="auditor").json()["outcomes"]["planned"] == 2


def test_an_author_cannot_approve_even_with_the_role(door: Door, incident: str) -> None:
    both = ("analyst", "approver")
    body = {"template": "personal-data-breach", "values": values()}
    campaign = door.post(f"/v1/incidents/{incident}/campaigns", body, by=both).json()["campaign_id"]
    put_csv(door, campaign, GOOD)
    asked = door.post(f"/v1/campaigns/{campaign}/approval-request").json()
    before = door.events()

    for author in (both,):
        digests = {name: asked[name] for name in ("text_digest", "audience_digest")}
        answer = door.post(f"/v1/campaigns/{campaign}/approval", digests, by=author)
        assert "second person" in problem(answer, 403, "forbidden")["detail"]

    assert door.events() == before


def test_a_rejection_gives_its_reason_and_holds_no_contacts(door: Door, campaign: str) -> None:
    put_csv(door, campaign, GOOD)
    door.post(f"/v1/campaigns/{campaign}/approval-request")
    path = f"/v1/campaigns/{campaign}/rejection"

    refused = door.post(path, {"reason": "Ask +86 138 0013 8000 first"}, by="approver")
    assert problem(refused, 422, "invalid-input")["errors"][0]["field"] == "reason"
    rejected = door.post(path, {"reason": "Name the data more exactly."}, by="approver").json()

    assert (rejected["status"], rejected["rejection"]) == ("rejected", "Name the data more exactly.")
    revised = door.ask("PUT", f"/v1/campaigns/{campaign}/text", json={"values": values()}).json()
    assert revised["status"] == "draft"


def test_a_csv_with_bad_rows_imports_none_and_lists_them(door: Door, campaign: str) -> None:
    before = door.events()

    answer = put_csv(door, campaign, BAD)

    document = problem(answer, 422, "audience-refused")
    assert {error["field"].split(".")[1] for error in document["errors"]} == {"4", "5"}
    assert "13800138001" not in answer.text
    assert "cmd" not in answer.text
    assert door.events() == before
    assert door.get(f"/v1/campaigns/{campaign}").json()["audience"] is None


def test_the_good_rows_are_taken_when_asked_and_the_list_is_kept(door: Door, campaign: str) -> None:
    answer = put_csv(door, campaign, BAD, accept_valid=True)

    assert answer.status_code == 200, answer.text
    audience = door.get(f"/v1/campaigns/{campaign}", by="auditor").json()["audience"]
    assert (audience["rows"], audience["recipients"], audience["faulty"]) == (4, 2, 2)
    assert {fault["row"] for fault in audience["faults"]} == {4, 5}


@pytest.mark.parametrize(
    ("csv", "field"),
    [("", "header"), ("name,tel\nx,1\n", "header"), (HEADER, None)],
    ids=["empty", "header", "no rows"],
)
def test_a_file_that_is_no_audience_is_refused(door: Door, campaign: str, csv: str, field: str | None) -> None:
    answer = put_csv(door, campaign, csv)

    assert answer.status_code == 422
    if field:
        assert answer.json()["errors"][0]["field"] == field


def test_an_upload_sent_twice_is_one_audience(door: Door, campaign: str) -> None:
    first = put_csv(door, campaign, GOOD, **{"Idempotency-Key": "aud"})
    events = door.events()
    second = put_csv(door, campaign, GOOD, **{"Idempotency-Key": "aud"})

    assert second.headers["idempotency-replayed"] == "true"
    assert second.json() == first.json()
    assert door.events() == events
    problem(put_csv(door, campaign, BAD, **{"Idempotency-Key": "aud"}), 409, "conflict")


def test_a_form_is_taken_too(door: Door, campaign: str) -> None:
    path = f"/v1/campaigns/{campaign}/audience"

    assert door.ask("PUT", path, files={"file": ("a.csv", GOOD, "text/csv")}).json()["audience"]["recipients"] == 2
    problem(door.ask("PUT", path, files={"other": ("a.csv", GOOD, "text/csv")}), 400, "malformed-request")
    problem(
        door.ask("PUT", path, content=b"--x", headers={"Content-Type": "multipart/form-data"}), 400, "malformed-request"
    )
    problem(door.ask("PUT", path, json={}), 415, "unsupported-media-type")


def test_a_refused_upload_leaves_nothing_in_the_vault(door: Door, campaign: str) -> None:
    put_csv(door, campaign, BAD)

    with door.services.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM vault_contacts").scalar() == 0


def test_a_run_is_started_walked_and_skipped(door: Door, incident: str) -> None:
    run = door.post(f"/v1/incidents/{incident}/runs", {"playbook": "personal-data-breach"})
    assert run.status_code == 201
    again = door.post(f"/v1/incidents/{incident}/runs", {"playbook": "personal-data-breach"})
    assert again.json()["id"] == run.json()["id"]
    problem(door.post(f"/v1/incidents/{incident}/runs", {"playbook": "none"}), 404, "not-found")
    door.settle()

    path = f"/v1/runs/{run.json()['id']}"
    tasks = [task["step"] for task in door.get(f"/v1/incidents/{incident}/tasks").json()["items"]]
    assert "contain" in tasks
    problem(door.post(f"{path}/steps/unheard-of/complete"), 404, "not-found")
    done = door.post(f"{path}/steps/contain/complete", {"comment": "Share taken offline."})
    assert done.status_code == 200, done.text
    problem(door.post(f"{path}/steps/contain/complete"), 409, "illegal-transition")
    steps = {step["step"]: step for step in door.get(path, by="auditor").json()["steps"]}
    assert steps["contain"]["outcome"] == "done"
    skipped = door.post(f"{path}/steps/draft-notice/skip", {"reason": "A public notice was made."})
    assert skipped.status_code == 200, skipped.text
    assert door.get(f"/v1/incidents/{incident}/runs").json()["items"][0]["run_id"] == run.json()["id"]
    assert "personal-data-breach" in [one["id"] for one in door.get("/v1/playbooks").json()]
