"""Incidents over HTTP: report, read, state facts, move, note, assign, merge, grade."""

from __future__ import annotations

from uuid import uuid4

from tests.tocsin.conftest import Door, problem


def test_an_incident_is_reported_and_read_back(door: Door) -> None:
    reported = door.report(summary="Found by the storage team.", facts={"persons_affected": 203})

    answer = door.get(f"/v1/incidents/{reported['id']}", by="auditor")

    assert answer.status_code == 200
    assert answer.json() == reported
    assert answer.headers["etag"] == f'"{reported["version"]}"'
    assert reported["facts"] == {"persons_affected": 203}
    assert reported["phase"] == "reported"
    assert answer.headers["cache-control"] == "no-store"


def test_an_incident_answers_to_its_reference_in_any_spelling(door: Door) -> None:
    reported = door.report()
    door.settle()

    for name in (reported["reference"], reported["reference"].lower(), reported["reference"].replace("-", "")[3:]):
        assert door.get(f"/v1/incidents/{name}").json()["id"] == reported["id"]


def test_an_unchanged_incident_is_not_sent_again(door: Door) -> None:
    reported = door.report()
    tag = f'"{reported["version"]}"'

    unchanged = door.get(f"/v1/incidents/{reported['id']}", headers={"If-None-Match": tag})
    changed = door.get(f"/v1/incidents/{reported['id']}", headers={"If-None-Match": '"99"'})

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert changed.status_code == 200


def test_the_lifecycle_is_walked_and_shown(door: Door) -> None:
    incident = door.report()["id"]
    for transition in ("triage", "contain", "eradicate", "recover", "close"):
        answer = door.post(f"/v1/incidents/{incident}/transitions", {"transition": transition})
        assert answer.status_code == 200, answer.text
    reopened = door.post(f"/v1/incidents/{incident}/transitions", {"transition": "reopen", "comment": "It came back."})

    assert reopened.json()["phase"] == "triaged"
    door.settle()
    recovery = door.get(f"/v1/incidents/{incident}/recovery").json()
    assert (recovery["state"], recovery["reopened"], recovery["open_step"]) == ("triaged", 1, "contain")


def test_what_happened_earlier_is_recorded_as_of_then(door: Door) -> None:
    incident = door.report()["id"]
    body = {"transition": "triage", "happened_at": "2026-11-20T08:30:00+08:00"}

    shown = door.post(f"/v1/incidents/{incident}/transitions", body).json()

    assert shown["phase_times"]["triaged"] == "2026-11-20T00:30:00Z"


def test_a_transition_that_the_state_forbids_changes_nothing(door: Door) -> None:
    incident = door.report()["id"]
    before = door.events()

    answer = door.post(f"/v1/incidents/{incident}/transitions", {"transition": "recover"})

    assert "reported" in problem(answer, 409, "illegal-transition")["detail"]
    assert door.events() == before


def test_facts_are_stated_revised_and_taken_back(door: Door) -> None:
    incident = door.report(facts={"persons_affected": 10})["id"]
    path = f"/v1/incidents/{incident}/facts"

    door.post(path, {"facts": {"persons_affected": 203, "malicious": True}, "source": "database count"})
    shown = door.post(path, {"facts": {"malicious": "unknown"}}).json()

    assert shown["facts"] == {"persons_affected": 203}


def test_notes_assignment_and_merge(door: Door) -> None:
    first, second = door.report("First")["id"], door.report("Second")["id"]

    assert door.post(f"/v1/incidents/{first}/notes", {"text": "Share taken offline."}).status_code == 201
    assert door.post(f"/v1/incidents/{first}/assignee", {"assignee": "lan"}).json()["assignee"] == "lan"
    merged = door.post(f"/v1/incidents/{first}/merge", {"into": second, "reason": "Same share."}).json()

    assert (merged["phase"], merged["merged_into"]) == ("merged", second)
    assert door.get(f"/v1/incidents/{second}").json()["absorbed"] == [first]
    door.settle()
    story = door.get(f"/v1/incidents/{first}/timeline", params={"language": "zh"}).json()["items"]
    assert [entry["kind"] for entry in story] == [
        "incident.reported",
        "incident.note-added",
        "incident.assigned",
        "incident.merged",
    ]
    assert all(entry["sentence"] for entry in story)


def test_a_note_with_contact_data_is_refused_without_repeating_it(door: Door) -> None:
    incident = door.report()["id"]

    answer = door.post(f"/v1/incidents/{incident}/notes", {"text": "Call Li Na at +86 138 0013 8000 tonight"})

    assert problem(answer, 422, "invalid-input")["errors"][0]["field"] == "text"
    assert "0013 8000" not in answer.text


def test_a_person_grades_against_the_computed_level(door: Door) -> None:
    incident = door.report()["id"]
    path = f"/v1/incidents/{incident}/grades/cn-2025"

    unknown = door.post(path, {"level": "apocalyptic", "reason": "It felt so."})
    assert problem(unknown, 422, "invalid-input")["errors"][0]["field"] == "level"
    level = unknown.json()["detail"].rstrip(".").split(": ")[1].split(", ")[0]
    graded = door.post(path, {"level": level, "reason": "The bureau said so."}).json()

    (grade,) = graded["grades"]
    assert (grade["scheme"], grade["level"], grade["override_reason"]) == ("cn-2025", level, "The bureau said so.")
    assert grade["graded_by"] == "user:analyst"


def test_the_list_is_filtered_and_paged(door: Door) -> None:
    for number in range(5):
        door.report(f"Incident {number}")
    door.settle()

    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, "state": "open", "sort": "opened"} | ({"cursor": cursor} if cursor else {})
        page = door.get("/v1/incidents", params=params).json()
        seen += [row["title"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert sorted(seen) == [f"Incident {number}" for number in range(5)]
    assert door.get("/v1/incidents", params={"search": "incident 3"}).json()["items"][0]["title"] == "Incident 3"
    assert door.get("/v1/incidents", params={"state": "closed"}).json()["items"] == []
    assert len(door.get("/v1/board").json()["items"]) == 5


def test_unknown_incidents_are_not_found(door: Door) -> None:
    run_of_nothing = uuid4()
    for name in (str(run_of_nothing), "INC-7F3K-9Q2M", "not-an-incident"):
        problem(door.get(f"/v1/incidents/{name}"), 404, "not-found")
        problem(door.post(f"/v1/incidents/{name}/notes", {"text": "x"}), 404, "not-found")


def test_an_id_of_something_else_is_no_incident(door: Door) -> None:
    incident = door.report()["id"]
    run = door.post(f"/v1/incidents/{incident}/runs", {"playbook": "personal-data-breach"}).json()["id"]
    before = door.events()

    problem(door.get(f"/v1/incidents/{run}"), 404, "not-found")
    problem(door.post(f"/v1/incidents/{run}/notes", {"text": "Into the wrong stream."}), 404, "not-found")
    problem(door.get(f"/v1/runs/{incident}"), 404, "not-found")
    problem(door.get(f"/v1/campaigns/{incident}"), 404, "not-found")
    assert door.events() == before
