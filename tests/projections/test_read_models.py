"""What each read model says about known streams."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from incidents.errors import InvalidInput, NotFound
from incidents.incident import events as incident
from incidents.record import stable_id
from incidents.reference import reference_of
from notifier.campaigns import events as campaigns
from playbooks.duties import events as duties
from playbooks.runs import events as run_events
from projections.alerts.alerts import alerts
from projections.catalogue import all_projections
from projections.coverage.coverage import campaign_coverage, campaigns_of
from projections.coverage.coverage import campaigns as all_campaigns
from projections.deadlines.deadlines import deadline, deadlines
from projections.recovery.recovery import recovery, recovery_of
from projections.runner import Runner
from projections.severity_board.board import board, board_entry, find_by_reference
from projections.tasks.tasks import run, runs, tasks
from projections.timeline.timeline import timeline
from tests.projections.conftest import Installation
from tests.projections.stories import Teller, duty, move, record_moves, summary, whole_story


@pytest.fixture
def teller(installation: Installation) -> Teller:
    return Teller(installation.record, installation.clock)


def show(installation: Installation) -> None:
    Runner(installation.record, installation.engine, all_projections(), installation.clock).drain()


def open_incident(teller: Teller, title: str = "Mailboxes read by a stranger") -> UUID:
    it = uuid4()
    teller.tell(it, incident.IncidentReported, title=title, reported_by="person")
    return it


def test_the_board_after_a_whole_story(installation: Installation, teller: Teller) -> None:
    it = whole_story(teller)
    show(installation)
    entry = board_entry(installation.engine, it)
    assert entry.title == "Mailboxes read by a stranger 1"
    assert entry.state == "triaged", "reopened"
    assert (entry.severity, entry.alerts, entry.assignee) == ("medium", 1, "lan")
    assert [(g.scheme, g.level, g.open_criteria) for g in entry.grades] == [("cn-2025", "major", 1)]
    assert (entry.duties_open, entry.duties_missed) == (2, 1)
    assert entry.next_duty is not None
    assert (entry.next_duty.duty_id, entry.next_duty.possible) == ("d-party", False)
    assert entry.persons_affected == 200
    progress = entry.campaigns
    assert (progress.campaigns, progress.planned, progress.delivered, progress.accepted) == (1, 4, 1, 1)
    assert (progress.failed, progress.ambiguous, progress.cancelled, progress.pending) == (0, 1, 1, 0)
    merged = next(e for e in board(installation.engine).items if e.state == "merged")
    assert merged.merged_into == it


def test_facts_taken_back_are_unknown_again(installation: Installation, teller: Teller) -> None:
    it = open_incident(teller)
    teller.tell(it, incident.FactsStated, facts={"persons_by_country": {"CN": 3, "VN": 4}})
    show(installation)
    assert board_entry(installation.engine, it).persons_affected == 7
    teller.tell(it, incident.FactsStated, facts={"persons_affected": 9})
    show(installation)
    assert board_entry(installation.engine, it).persons_affected == 9, "a stated number beats a sum"
    teller.tell(it, incident.FactsStated, facts={"persons_affected": "unknown", "persons_by_country": "unknown"})
    show(installation)
    assert board_entry(installation.engine, it).persons_affected is None


def test_the_board_puts_the_next_deadline_first(installation: Installation, teller: Teller) -> None:
    hours = {open_incident(teller, f"due in {h}"): h for h in (30, 10, 20)}
    without = open_incident(teller, "no clock")
    for it, h in hours.items():
        due = teller.now + timedelta(hours=h)
        teller.tell(uuid4(), duties.DutyIdentified, incident_id=it, duty=duty("d", teller.now, strict_due=due))
    possible = open_incident(teller, "possible")
    teller.tell(
        uuid4(),
        duties.DutyIdentified,
        incident_id=possible,
        duty=duty(
            "d",
            teller.now,
            status="possible",
            strict_due=None,
            earliest_deadline=teller.now + timedelta(hours=1),
        ),
    )
    show(installation)
    entries = board(installation.engine).items
    assert [e.title for e in entries] == ["possible", "due in 10", "due in 20", "due in 30", "no clock"]
    assert entries[0].next_duty is not None
    assert entries[0].next_duty.possible
    assert entries[-1].incident_id == without
    assert entries[-1].next_duty is None


@pytest.mark.parametrize("sort", ["deadline", "opened", "updated", "severity"])
def test_pages_show_each_incident_once(installation: Installation, teller: Teller, sort: str) -> None:
    made = [open_incident(teller, f"n {n}") for n in range(7)]
    for n, it in enumerate(made[:4]):
        teller.tell(it, incident.AlertLinked, alert=summary(n, teller.now, severity=n))
    show(installation)
    whole = [e.incident_id for e in board(installation.engine, sort=sort).items]  # type: ignore[arg-type]
    seen: list[UUID] = []
    cursor = None
    while True:
        page = board(installation.engine, sort=sort, limit=2, cursor=cursor)  # type: ignore[arg-type]
        seen += [e.incident_id for e in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == whole
    assert set(seen) == set(made)


def test_the_board_filters(installation: Installation, teller: Teller) -> None:
    a, b = open_incident(teller, "Café 100% down"), open_incident(teller, "Ổ đĩa bị mã hóa")
    teller.tell(a, incident.IncidentClosed, comment="false alarm")
    teller.tell(b, incident.IncidentGraded, scheme="cn-2025", scheme_version="1", level="major")
    show(installation)

    def found(**filters: str) -> set[UUID]:
        return {e.incident_id for e in board(installation.engine, **filters).items}  # type: ignore[arg-type]

    assert found(state="open") == {b}
    assert found(state="closed") == {a}
    assert found(level="major") == {b}
    assert found(level="major", scheme="other") == set()
    assert found(search="CAFÉ") == {a}
    assert found(search="Ổ ĐĨA") == {b}
    assert found(search="100%") == {a}
    assert found(search="0%0") == set(), "a percent sign is a percent sign"
    assert found(search=reference_of(b).lower()) == {b}


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("sort", {"sort": "colour"}),
        ("state", {"state": "burning"}),
        ("limit", {"limit": 0}),
        ("limit", {"limit": 501}),
        ("search", {"search": "x" * 201}),
        ("search", {"search": "a\x00b"}),
        ("cursor", {"cursor": "nonsense"}),
        ("cursor", {"cursor": "WyJvcGVuZWQiLCIyMDI2Il0"}),
    ],
)
def test_wrong_questions_name_the_field(installation: Installation, field: str, arguments: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        board(installation.engine, **arguments)  # type: ignore[arg-type]
    assert [fault.field for fault in caught.value.errors] == [field]


def test_an_incident_is_found_by_its_reference(installation: Installation, teller: Teller) -> None:
    it = open_incident(teller)
    show(installation)
    assert find_by_reference(installation.engine, reference_of(it).lower().replace("-", "")) == it
    with pytest.raises(NotFound):
        find_by_reference(installation.engine, "INC-0000-0000")
    with pytest.raises(InvalidInput):
        find_by_reference(installation.engine, "4711")


def test_recovery_times(installation: Installation, teller: Teller) -> None:
    it = uuid4()
    start = teller.now
    for minutes, event in (
        (0, incident.IncidentReported),
        (30, incident.IncidentTriaged),
        (90, incident.IncidentContained),
        (600, incident.IncidentRecovered),
    ):
        more = {"title": "t", "reported_by": "person"} if event is incident.IncidentReported else {}
        teller.tell(it, event, happened_at=start + timedelta(minutes=minutes), **more)
    show(installation)
    status = recovery_of(installation.engine, it)
    assert (status.seconds_to_triage, status.seconds_to_contain, status.seconds_to_recover) == (1800, 5400, 36000)
    assert status.reached["eradicated"] is None
    assert (status.open_step, status.open_since) == ("close", start + timedelta(minutes=600))
    assert status.seconds_open is None

    teller.tell(it, incident.IncidentClosed)
    teller.tell(it, incident.IncidentReopened, reason="it came back")
    show(installation)
    again = recovery_of(installation.engine, it)
    assert (again.state, again.open_step, again.reopened) == ("triaged", "contain", 1)
    assert again.seconds_to_contain is None
    assert again.seconds_to_triage == 1800
    teller.tell(it, incident.IncidentClosed)
    show(installation)
    assert recovery(installation.engine, only_open=True).items == ()
    assert recovery(installation.engine).items[0].open_step is None


def test_deadlines_in_order_with_their_colours(installation: Installation, teller: Teller) -> None:
    it, register = open_incident(teller, "An incident"), uuid4()
    now = teller.now

    def identify(duty_id: str, **changes: object) -> None:
        teller.tell(register, duties.DutyIdentified, incident_id=it, duty=duty(duty_id, now, **changes))

    for duty_id, percent in (("calm", 10), ("watch", 50), ("warn", 80), ("urgent", 95), ("missed", 130)):
        window = timedelta(hours=100)
        start = now - window * percent / 100
        identify(duty_id, clock_at=start, strict_due=start + window)
    identify("waiting", status="waiting_for_clock", clock_at=None, strict_due=None)
    identify("possible", status="possible", clock_at=None, strict_due=None)
    identify("exempt", status="exempt")
    identify("waived")
    teller.tell(register, duties.DutyWaived, incident_id=it, duty_id="waived", reason="encrypted, key safe")
    teller.tell(register, duties.DutyMissed, incident_id=it, duty_id="missed", strict_due=now)
    show(installation)
    found = deadlines(installation.engine, now=now).items
    assert [(d.duty_id, d.colour, d.percent_used) for d in found] == [
        ("possible", "possible", None),
        ("missed", "missed", 130.0),
        ("urgent", "urgent", 95.0),
        ("warn", "warn", 80.0),
        ("watch", "watch", 50.0),
        ("calm", "calm", 10.0),
        ("waiting", "waiting", None),
    ]
    assert [d.remaining_seconds for d in found][1:3] == [-30 * 3600, 5 * 3600]
    assert [d.status for d in found][:2] == ["possible", "missed"]
    assert {d.incident_title for d in found} == {"An incident"}
    everything = deadlines(installation.engine, now=now, include="all", incident_id=it).items
    assert {d.duty_id for d in everything[7:]} == {"exempt", "waived"}
    waived = deadline(installation.engine, it, "waived", now=now)
    assert (waived.status, waived.waived_by, waived.colour) == ("waived", "user:lan", "settled")
    assert waived.waiver_reason == "encrypted, key safe"
    assert waived.why == ("personal data was concerned", {"fact": "persons_affected", "value": 200})
    paged = [
        d.duty_id
        for cursor in [None, deadlines(installation.engine, now=now, limit=3).next_cursor]
        for d in deadlines(installation.engine, now=now, limit=3, cursor=cursor).items
    ]
    assert paged == [d.duty_id for d in found[:6]]


def test_lateness_is_frozen_when_the_filing_is_made(installation: Installation, teller: Teller) -> None:
    it, register = open_incident(teller), uuid4()
    start = teller.now
    one = duty("d", start, strict_due=start + timedelta(hours=72), legal_end=start + timedelta(hours=73))
    teller.tell(register, duties.DutyIdentified, incident_id=it, duty=one)
    teller.tell(register, duties.DutyMissed, incident_id=it, duty_id="d", strict_due=start + timedelta(hours=72))
    at = start + timedelta(hours=90)
    teller.tell(
        register, duties.DutyFulfilled, incident_id=it, duty_id="d", rule="r", how="filing", late=True, submitted_at=at
    )
    show(installation)
    found = deadline(installation.engine, it, "d", now=start + timedelta(days=400))
    assert (found.status, found.late, found.missed, found.colour) == ("fulfilled", True, True, "late")
    assert found.percent_used == 125.0, "of the moment of filing, not of today"
    assert found.remaining_seconds is None


def test_a_lifted_duty_that_comes_back_keeps_what_was_missed(installation: Installation, teller: Teller) -> None:
    it, register = open_incident(teller), uuid4()
    teller.tell(register, duties.DutyIdentified, incident_id=it, duty=duty("d", teller.now))
    teller.tell(register, duties.DutyMissed, incident_id=it, duty_id="d", strict_due=teller.now)
    teller.tell(register, duties.DutyLifted, incident_id=it, duty_id="d", reason="no personal data")
    show(installation)
    assert deadline(installation.engine, it, "d", now=teller.now).status == "lifted"
    assert board_entry(installation.engine, it).duties_open == 0
    teller.tell(register, duties.DutyIdentified, incident_id=it, duty=duty("d", teller.now))
    show(installation)
    back = deadline(installation.engine, it, "d", now=teller.now)
    assert (back.status, back.missed, back.lifted_reason) == ("missed", True, None)


def test_coverage_is_a_partition_at_every_step(installation: Installation, teller: Teller) -> None:
    it, campaign = open_incident(teller), uuid4()
    teller.tell(campaign, campaigns.CampaignDrafted, incident_id=it, template="t", template_version="1", values={})
    teller.tell(
        campaign,
        campaigns.AudienceAttached,
        incident_id=it,
        audience_id=uuid4(),
        recipients=3,
        by_language={"en": 1, "vi": 2},
        by_channel={"sms": 3, "email": 1},
        audience_digest="a",
    )
    at = teller.now
    later = at + timedelta(minutes=5)
    steps = [
        ((move("a", "claimed", at), move("b", "claimed", at, language="vi")), (0, 0, 0, 0, 3)),
        ((move("a", "accepted", at), move("b", "ambiguous", at, language="vi")), (0, 1, 0, 1, 1)),
        ((move("a", "delivered", at),), (1, 0, 0, 1, 1)),
        ((move("a", "sent", at),), (1, 0, 0, 1, 1)),
        ((move("b", "undelivered", at, language="vi"),), (1, 0, 1, 0, 1)),
        ((move("b", "claimed", later, channel="email", language="vi"),), (1, 0, 0, 0, 2)),
        ((move("b", "accepted", later, channel="email", language="vi"),), (1, 1, 0, 0, 1)),
        ((move("b", "accepted", later, channel="email", language="vi"),), (1, 1, 0, 0, 1)),
        ((move("c", "rejected", at), move("c", "claimed", later, channel="email")), (1, 1, 0, 0, 1)),
    ]
    for moves, expected in steps:
        record_moves(teller, it, campaign, *moves)
        show(installation)
        found = campaign_coverage(installation.engine, campaign)
        o = found.outcomes
        assert (o.delivered, o.accepted, o.failed, o.ambiguous, o.pending) == expected
        assert o.planned == 3 == sum(expected)
        for part in (found.by_channel, found.by_language):
            assert sum(counts.delivered for counts in part.values()) == o.delivered
            assert sum(counts.accepted for counts in part.values()) == o.accepted
    assert found.by_channel["email"].accepted == 1, "after the fail-over the second channel counts"
    assert found.by_channel["sms"].delivered == 1
    assert found.by_language["vi"].accepted == 1
    assert (found.by_language["vi"].planned, found.by_channel["sms"].planned) == (2, 3)


def test_a_campaign_says_who_wrote_and_who_approved(installation: Installation, teller: Teller) -> None:
    it = whole_story(teller)
    show(installation)
    (one,) = campaigns_of(installation.engine, it)
    assert (one.state, one.drafted_by, one.requested_by, one.approved_by) == (
        "finished",
        "user:lan",
        "user:lan",
        "user:minh",
    )
    assert (one.text_digest, one.audience_digest, one.duties) == ("t1", "a1", ("d-people",))
    assert (one.rejected_by, one.rejected_reason) == ("user:minh", "say which data")
    assert all_campaigns(installation.engine, state="finished").items == (one,)
    assert all_campaigns(installation.engine, state="sending").items == ()

    teller.tell(one.campaign_id, campaigns.CampaignTextRevised, incident_id=it, values={})
    show(installation)
    revised = campaign_coverage(installation.engine, one.campaign_id)
    assert (revised.state, revised.approved_by, revised.text_digest) == ("drafted", None, None)


def test_drills_do_not_count_on_the_board(installation: Installation, teller: Teller) -> None:
    it = open_incident(teller)
    drafted: dict[str, Any] = {"template": "t", "template_version": "1", "values": {}, "drill": True}
    teller.tell(uuid4(), campaigns.CampaignDrafted, incident_id=it, **drafted)
    show(installation)
    assert board_entry(installation.engine, it).campaigns.campaigns == 0
    assert campaigns_of(installation.engine, it)[0].drill


def test_the_timeline_tells_the_story_in_order(installation: Installation, teller: Teller) -> None:
    it = whole_story(teller)
    show(installation)
    entries = timeline(installation.engine, it, limit=500).items
    positions = [entry.position for entry in entries]
    assert positions == sorted(positions)
    other = stable_id("incident", "1", "other")
    elsewhere = timeline(installation.engine, other).items
    assert [e.kind for e in elsewhere] == ["incident.reported", "incident.merged"]
    # one event is an alert that went to no incident, and the registers of assets and parties have no incident either
    registers = sum(kind.startswith(("asset.", "party.")) for kind in teller.told)
    assert len(entries) + len(elsewhere) + 1 + registers == len(teller.positions)
    backwards = timeline(installation.engine, it, newest_first=True, limit=500).items
    assert list(reversed(backwards)) == list(entries)
    story = timeline(installation.engine, it, minor=False, limit=500).items
    assert {e.kind for e in entries} - {e.kind for e in story} == {
        "alert.raised",
        "correlation.opened",
        "incident.absorbed",
        "run.timer-set",
        "run.timer-cancelled",
        "delivery.recorded",
        "delivery.cancelled",
        "delivery.rows-removed",
        "history.read",
    }
    moved = next(e for e in entries if e.kind == "delivery.recorded")
    assert moved.parameters == {
        "campaign_id": str(stable_id("campaign", str(it))),
        "moves": 3,
        "by_state": {"claimed": 3},
        "by_channel": {"sms": 3},
    }, "counts only: no recipient is named"
    page = timeline(installation.engine, it, limit=10)
    rest = timeline(installation.engine, it, limit=500, cursor=page.next_cursor)
    assert [*page.items, *rest.items] == list(entries)


def test_tasks_open_and_done(installation: Installation, teller: Teller) -> None:
    it = whole_story(teller)
    run_id = stable_id("run", str(it))
    title = {"en": "Approve the notice", "zh-Hans": "批准通知"}
    opened: dict[str, Any] = {"incident_id": it, "step": "approve", "step_kind": "approval", "title": title}
    teller.tell(run_id, run_events.StepStarted, **opened)
    show(installation)
    (open_task,) = tasks(installation.engine, incident_id=it).items
    assert (open_task.step, open_task.step_kind, open_task.title["zh-Hans"]) == ("approve", "approval", "批准通知")
    assert open_task.playbook == "personal-data-breach"
    done = tasks(installation.engine, run_id=run_id, include="done").items
    assert [(t.step, t.outcome, t.done_by) for t in done] == [
        ("triage", "done", "user:lan"),
        ("approve", "approved", "user:lan"),
    ], "each opening of a step is kept"
    assert done[0].reminded_at is not None
    assert [t.step for t in tasks(installation.engine, kinds=()).items] == ["notify", "approve"]
    entry = run(installation.engine, run_id)
    assert (entry.steps_open, entry.steps_done, entry.outcome) == (2, 2, "completed")
    assert runs(installation.engine, incident_id=it).items == (entry,)
    with pytest.raises(NotFound):
        run(installation.engine, uuid4())


def test_the_alert_list(installation: Installation, teller: Teller) -> None:
    it = whole_story(teller)
    show(installation)
    (one,) = alerts(installation.engine).items
    assert (one.incident_id, one.outcome, one.rule) == (it, "declared", "5712")
    assert one.reference == reference_of(it)
    assert alerts(installation.engine, incident_id=uuid4()).items == ()
    assert one.received_at < board_entry(installation.engine, it).opened_at, "when it first came in"


def test_no_text_can_stop_the_projections(installation: Installation, teller: Teller) -> None:
    it = open_incident(teller, "before\x00after")
    teller.tell(it, incident.NoteAdded, text="a\x00b")
    teller.tell(it, incident.IncidentAssigned, assignee="x" * 5_000)
    teller.tell(it, incident.FactsStated, facts={"persons_affected": 10**30})
    teller.tell(it, incident.AlertLinked, alert=summary(1, teller.now, severity=99))
    one = duty("d", teller.now, stage="s" * 300, jurisdiction="j" * 300, rule="r" * 300, confidence="c" * 300)
    teller.tell(uuid4(), duties.DutyIdentified, incident_id=it, duty=one)
    show(installation)
    entry = board_entry(installation.engine, it)
    assert entry.title == "before\ufffdafter"
    assert entry.assignee == "x" * 5_000
    assert entry.persons_affected == 2**63 - 1
    assert entry.severity == "unknown", "OCSF 99 says other, not worst"
    assert deadlines(installation.engine, now=teller.now).items[0].rule == "r" * 300
    assert timeline(installation.engine, it).items[1].parameters["text"].startswith("a")


def test_a_receipt_moves_a_delivery_forward_only(installation: Installation, teller: Teller) -> None:
    it, at = open_incident(teller), teller.now
    for states, outcome in (
        (("delivered", "failed"), "delivered"),
        (("failed", "delivered"), "failed"),
        (("delivered", "sent", "claimed"), "delivered"),
        (("ambiguous", "accepted"), "accepted"),
        (("claimed", "ambiguous", "undelivered"), "failed"),
    ):
        campaign = uuid4()
        for state in states:
            record_moves(teller, it, campaign, move("a", state, at))
        show(installation)
        assert getattr(campaign_coverage(installation.engine, campaign).outcomes, outcome) == 1, states


def test_what_was_taken_back_counts_no_more_unless_the_person_said_so(
    installation: Installation, teller: Teller
) -> None:
    """A call that was found for one person turned out to be another's."""
    it, at = open_incident(teller), teller.now
    back = move("a", "claimed", at, channel="voice").model_copy(update={"code": campaigns.TAKEN_BACK})
    for states, outcome in (
        (("claimed", "delivered", back), "pending"),
        (("claimed", "delivered", back, "ambiguous"), "ambiguous"),
        (("claimed", "delivered", "read", back), "delivered"),
    ):
        campaign = uuid4()
        for state in states:
            step = move("a", state, at, channel="voice") if isinstance(state, str) else state
            record_moves(teller, it, campaign, step)
        show(installation)
        assert getattr(campaign_coverage(installation.engine, campaign).outcomes, outcome) == 1, states
