"""One alert has one effect, one cause has one incident, whoever is first and whatever happens in between."""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text

from incidents.alerts.correlation import read_correlation_table
from incidents.alerts.events import AlertRaised, AlertReceived
from incidents.alerts.intake import AlertIntake, IntakeSettings, Receipt
from incidents.alerts.tables import findings
from incidents.clock import ManualClock
from incidents.errors import InvalidInput, NotFound, TooLarge
from incidents.incident.events import AlertLinked, FactsStated, IncidentReported
from incidents.incident.incident import Incident
from incidents.record import Event, Record
from incidents.record.database import open_engine
from tests.conftest import NIGHT, ContextMaker
from tests.incidents.alerts.intake_harness import intake_on, receive_in_process, siem
from tests.incidents.alerts.samples import STORY_ALERT, ocsf_bytes, wazuh, wazuh_bytes


@pytest.fixture
def intake(database_url: str, record: Record, clock: ManualClock) -> Iterator[AlertIntake]:
    with intake_on(database_url, record, clock) as made:
        yield made


def events(record: Record) -> list[Event]:
    return [recorded.event for recorded in record.read(0, 100_000)]


def kinds(record: Record) -> Counter[str]:
    return Counter(event.kind for event in events(record))


def alert(number: int, **changes: Any) -> bytes:
    return wazuh_bytes(id=f"1795103267.{number}", **changes)


def incident_of(record: Record, receipt: Receipt) -> Incident:
    assert receipt.incident_id is not None
    return record.load(Incident, receipt.incident_id)


def test_the_first_alert_declares_an_incident(record: Record, intake: AlertIntake, clock: ManualClock) -> None:
    receipt = intake.receive("wazuh", STORY_ALERT.read_bytes(), siem(clock))

    assert receipt.outcome == "declared"
    incident = incident_of(record, receipt)
    assert incident.title == json.loads(STORY_ALERT.read_bytes())["rule"]["description"]
    assert list(incident.alerts) == [receipt.alert_id]
    assert set(incident.facts) == {"detected_at"}
    assert datetime.fromisoformat(incident.facts["detected_at"]) == datetime(
        2026, 11, 5, 18, 14, 37, 482000, tzinfo=UTC
    )
    assert kinds(record) == {
        "alert.received": 1,
        "correlation.opened": 1,
        "incident.reported": 1,
        "incident.alert-linked": 1,
        "incident.facts-stated": 1,
    }
    (reported,) = [event for event in events(record) if isinstance(event, IncidentReported)]
    assert reported.reported_by == "alert"
    assert "xhdb-02" in reported.summary
    assert len({event.cause for event in events(record)}) == 1
    assert {event.actor for event in events(record)} == {"siem:wazuh-1"}


def test_an_alert_sent_again_has_no_second_effect_and_the_same_answer(
    record: Record, intake: AlertIntake, clock: ManualClock
) -> None:
    first = intake.receive("wazuh", alert(1), siem(clock))
    head = record.head()
    clock.advance(timedelta(days=30))

    again = intake.receive("wazuh", alert(1), siem(clock))

    assert again.outcome == "duplicate"
    assert (again.alert_id, again.incident_id, again.first_outcome) == (first.alert_id, first.incident_id, "declared")
    assert record.head() == head


def test_alerts_that_belong_together_are_linked(record: Record, intake: AlertIntake, clock: ManualClock) -> None:
    first = intake.receive("wazuh", alert(1), siem(clock))
    second = intake.receive("wazuh", alert(2), siem(clock))
    elsewhere = intake.receive("wazuh", alert(3, data__srcip="198.51.100.9"), siem(clock))

    assert (second.outcome, second.incident_id) == ("linked", first.incident_id)
    assert elsewhere.outcome == "declared"
    assert list(incident_of(record, first).alerts) == [first.alert_id, second.alert_id]


def test_the_window_ends(record: Record, intake: AlertIntake, clock: ManualClock) -> None:
    first = intake.receive("wazuh", alert(1), siem(clock))
    clock.advance(timedelta(hours=24))
    still = intake.receive("wazuh", alert(2), siem(clock))
    clock.advance(timedelta(seconds=1))
    later = intake.receive("wazuh", alert(3), siem(clock))

    assert still.incident_id == first.incident_id
    assert later.outcome == "declared"
    assert later.incident_id != first.incident_id
    assert intake.receive("wazuh", alert(4), siem(clock)).incident_id == later.incident_id


def test_a_closed_incident_is_left_closed_and_a_new_one_declared(
    record: Record, intake: AlertIntake, clock: ManualClock, analyst: ContextMaker
) -> None:
    first = intake.receive("wazuh", alert(1), siem(clock))
    incident = incident_of(record, first)
    incident.close(analyst(), "False alarm.")
    record.commit(incident)

    second = intake.receive("wazuh", alert(2), siem(clock))

    assert second.outcome == "declared"
    assert second.incident_id != first.incident_id
    assert list(incident_of(record, first).alerts) == [first.alert_id]


def test_alerts_of_a_merged_incident_go_to_where_it_was_merged(
    record: Record, intake: AlertIntake, clock: ManualClock, analyst: ContextMaker
) -> None:
    first = incident_of(record, intake.receive("wazuh", alert(1), siem(clock)))
    targets = [Incident.report(uuid4(), analyst(), title=f"The real thing {n}") for n in range(2)]
    record.commit(*targets)
    first.merge_into(targets[0], analyst())
    targets[0].merge_into(targets[1], analyst())
    record.commit(first, *targets)

    linked = intake.receive("wazuh", alert(2), siem(clock))

    assert (linked.outcome, linked.incident_id) == ("linked", targets[1].id)

    targets[1] = record.load(Incident, targets[1].id)
    targets[1].close(analyst(), "Over.")
    record.commit(targets[1])
    assert intake.receive("wazuh", alert(3), siem(clock)).outcome == "declared"


def test_mild_alerts_are_kept_but_declare_nothing(record: Record, intake: AlertIntake, clock: ManualClock) -> None:
    mild = intake.receive("wazuh", alert(1, rule__level=5), siem(clock))

    assert (mild.outcome, mild.incident_id) == ("below_threshold", None)
    assert kinds(record) == {"alert.received": 1}
    assert intake.receive("wazuh", alert(1, rule__level=5), siem(clock)).outcome == "duplicate"

    serious = intake.receive("wazuh", alert(2), siem(clock))
    joining = intake.receive("wazuh", alert(3, rule__level=5), siem(clock))

    assert serious.outcome == "declared"
    assert (joining.outcome, joining.incident_id) == ("linked", serious.incident_id)
    assert intake.receive("wazuh", alert(1, rule__level=5), siem(clock)).outcome == "duplicate"


def test_an_alert_that_became_serious_counts_then(record: Record, intake: AlertIntake, clock: ManualClock) -> None:
    mild = intake.receive("ocsf", ocsf_bytes("falco", severity_id=1), siem(clock))
    raised = intake.receive("ocsf", ocsf_bytes("falco", severity_id=5, activity_id=2), siem(clock))
    again = intake.receive("ocsf", ocsf_bytes("falco", severity_id=5, activity_id=2), siem(clock))

    assert raised.alert_id == mild.alert_id
    assert raised.outcome == "declared"
    assert (again.outcome, again.incident_id, again.first_outcome) == ("duplicate", raised.incident_id, "declared")
    assert [type(event) for event in record.stream(mild.alert_id)] == [AlertReceived, AlertRaised]


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"severity_id": 0}, "declared"),
        ({"severity_id": 99}, "declared"),
        ({"severity_id": 2}, "below_threshold"),
        ({"severity_id": 3}, "declared"),
        ({"severity_id": 6}, "declared"),
        ({"severity_id": 5, "activity_id": 3}, "below_threshold"),
        ({"severity_id": 5, "status_id": 4, "state_id": None}, "below_threshold"),
    ],
)
def test_what_declares_an_incident(
    intake: AlertIntake, clock: ManualClock, changes: dict[str, object], outcome: str
) -> None:
    assert intake.receive("ocsf", ocsf_bytes("falco", **changes), siem(clock)).outcome == outcome


def test_threshold_and_table_are_settings(database_url: str, record: Record, clock: ManualClock) -> None:
    settings = IntakeSettings(
        declare_from=4, correlation=read_correlation_table("entries: [{name: all, by: [source], window_hours: 1}]")
    )
    with intake_on(database_url, record, clock, settings) as intake:
        assert intake.receive("wazuh", alert(1), siem(clock)).outcome == "below_threshold"
        assert intake.receive("wazuh", alert(2, rule__level=12), siem(clock)).outcome == "declared"
        assert intake.receive("wazuh", alert(3, rule__id="1", agent__id="9"), siem(clock)).outcome == "linked"


def test_a_storm_does_not_make_an_incident_too_heavy(database_url: str, record: Record, clock: ManualClock) -> None:
    with intake_on(database_url, record, clock, IntakeSettings(max_linked=3)) as intake:
        receipts = [intake.receive("wazuh", alert(n), siem(clock)) for n in range(6)]

    assert {receipt.incident_id for receipt in receipts} == {receipts[0].incident_id}
    assert len(incident_of(record, receipts[0]).alerts) == 3
    assert kinds(record)["alert.received"] == 6


@pytest.mark.parametrize(
    ("dialect", "raw", "error"),
    [
        ("leef", wazuh_bytes(), NotFound),
        ("wazuh", wazuh_bytes()[:-20], InvalidInput),
        ("wazuh", b"x" * 50_000_000, TooLarge),
        ("wazuh", wazuh_bytes(timestamp="2026-11-19T23:41:07"), InvalidInput),
        ("ocsf", ocsf_bytes("waf"), InvalidInput),
    ],
)
def test_bad_input_changes_nothing(
    record: Record, intake: AlertIntake, clock: ManualClock, dialect: str, raw: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        intake.receive(dialect, raw, siem(clock))
    assert record.head() == 0


def test_contacts_in_an_alert_stay_out_of_the_record(record: Record, intake: AlertIntake, clock: ManualClock) -> None:
    intake.receive(
        "wazuh",
        alert(
            1,
            rule__description="Mail of zhang.wei@example.com (138 0013 8000) leaked",
            agent__name="pc-13800138000",
            manager__name="lan@example.com",
            data__dstuser="zhang.wei@example.com",
        ),
        siem(clock),
    )

    stored = " ".join(event.model_dump_json() for event in events(record))
    assert "zhang" not in stored
    assert "lan@" not in stored
    assert "138 0013" not in stored
    assert "13800138000" not in stored
    assert "Mail of [email] ([phone]) leaked" in stored


def test_a_detector_ahead_of_our_clock_did_not_detect_in_the_future(
    record: Record, intake: AlertIntake, clock: ManualClock
) -> None:
    receipt = intake.receive("wazuh", alert(1, timestamp="2027-01-01T00:00:00+0000"), siem(clock))

    (stated,) = [event for event in events(record) if isinstance(event, FactsStated)]
    assert stated.facts["detected_at"] == incident_of(record, receipt).facts["detected_at"]
    assert stated.facts["detected_at"].startswith(NIGHT.strftime("%Y-%m-%dT%H:%M:%S"))


def test_a_batch_gets_an_answer_for_each(record: Record, intake: AlertIntake, clock: ManualClock) -> None:
    batch = json.dumps([wazuh(id="1"), wazuh(id="2"), wazuh(rule__level=99), wazuh(id="1")]).encode()

    context = siem(clock)
    answers = intake.receive_many("wazuh", batch, context)

    assert [answer.receipt and answer.receipt.outcome for answer in answers] == [
        "declared",
        "linked",
        None,
        "duplicate",
    ]
    assert answers[2].code == "invalid-input"
    assert [fault.field for fault in answers[2].errors] == ["rule.level"]
    assert {event.cause for event in events(record)} == {f"{context.cause}/0", f"{context.cause}/1"}


def together(work: list[Any], do: Any) -> list[Any]:
    """Do all of it at once, each in its own thread."""
    barrier = threading.Barrier(len(work))

    def start(item: Any) -> Any:
        barrier.wait(timeout=60)
        return do(item)

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(start, work))


def check_one_incident(record: Record, alerts: int) -> None:
    counted = kinds(record)
    assert counted["incident.reported"] == 1
    assert counted["correlation.opened"] == 1
    assert counted["alert.received"] == alerts
    linked = [event.alert.alert_id for event in events(record) if isinstance(event, AlertLinked)]
    assert len(linked) == len(set(linked)) == alerts


def test_the_same_alert_in_many_threads_has_one_effect(record: Record, intake: AlertIntake, clock: ManualClock) -> None:
    receipts = together([alert(1)] * 8, lambda raw: intake.receive("wazuh", raw, siem(clock)))

    check_one_incident(record, alerts=1)
    assert len({(receipt.alert_id, receipt.incident_id) for receipt in receipts}) == 1
    assert Counter(receipt.outcome for receipt in receipts) == {"declared": 1, "duplicate": 7}


def test_many_alerts_of_one_cause_in_many_threads_are_one_incident(
    record: Record, intake: AlertIntake, clock: ManualClock
) -> None:
    receipts = together([alert(n) for n in range(8)], lambda raw: intake.receive("wazuh", raw, siem(clock)))

    check_one_incident(record, alerts=8)
    assert Counter(receipt.outcome for receipt in receipts) == {"declared": 1, "linked": 7}


def test_intakes_that_do_not_know_of_each_other_agree(database_url: str, record: Record, clock: ManualClock) -> None:
    """As above, but nothing in the process makes them wait for each other: only the event store decides."""
    raws = [alert(n % 4) for n in range(8)]

    def receive_apart(raw: bytes) -> Receipt:
        with intake_on(database_url, record, clock) as apart:
            return apart.receive("wazuh", raw, siem(clock))

    receipts = together(raws, receive_apart)

    check_one_incident(record, alerts=4)
    assert len({receipt.incident_id for receipt in receipts}) == 1
    assert Counter(receipt.outcome for receipt in receipts) == {"declared": 1, "linked": 3, "duplicate": 4}


def test_processes_agree(database_url: str, record: Record, clock: ManualClock) -> None:
    with intake_on(database_url, record, clock):
        pass  # the tables exist
    context = multiprocessing.get_context("spawn")
    raws = [alert(n) for n in range(5)]
    with context.Manager() as manager:
        barrier = manager.Barrier(2)
        with context.Pool(2) as pool:
            jobs = [pool.apply_async(receive_in_process, (database_url, raws, barrier)) for _ in range(2)]
            answers = [job.get(timeout=120) for job in jobs]

    check_one_incident(record, alerts=5)
    assert [answer[:2] for answer in answers[0]] == [answer[:2] for answer in answers[1]]
    for mine, theirs in zip(*answers, strict=True):
        assert sorted([mine[2] == "duplicate", theirs[2] == "duplicate"]) == [False, True]


def test_a_race_lost_to_an_analyst_is_decided_again(
    record: Record, database_url: str, clock: ManualClock, analyst: ContextMaker
) -> None:
    """The incident is closed between loading and saving: the alert must not vanish into it."""
    with intake_on(database_url, record, clock) as intake:
        first = intake.receive("wazuh", alert(1), siem(clock))
    closings = iter([first.incident_id])

    class ClosesFirst:
        def save(self, *_: object) -> None:
            closing: UUID | None = next(closings, None)
            if closing is not None:
                incident = record.load(Incident, closing)
                incident.close(analyst(), "Closed meanwhile.")
                record.commit(incident)

    receipt = AlertIntake(record, ClosesFirst(), clock).receive("wazuh", alert(2), siem(clock))

    assert receipt.outcome == "declared"
    assert receipt.incident_id != first.incident_id


def test_a_crash_before_the_record_leaves_an_alert_that_can_be_sent_again(
    record: Record, database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with intake_on(database_url, record, clock) as intake:
        with monkeypatch.context() as broken:
            broken.setattr(record, "commit", lambda *_: (_ for _ in ()).throw(OSError("disk is full")))
            with pytest.raises(OSError, match="disk is full"):
                intake.receive("wazuh", alert(1), siem(clock))
        assert record.head() == 0

        assert intake.receive("wazuh", alert(1), siem(clock)).outcome == "declared"

    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(findings)) == 1
    engine.dispose()


def test_a_link_that_could_not_be_saved_is_not_remembered(
    record: Record, intake: AlertIntake, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = intake.receive("wazuh", alert(1), siem(clock))
    with monkeypatch.context() as broken:
        broken.setattr(record, "commit", lambda *_: (_ for _ in ()).throw(OSError("disk is full")))
        with pytest.raises(OSError, match="disk is full"):
            intake.receive("wazuh", alert(2), siem(clock))

    second = intake.receive("wazuh", alert(2), siem(clock))

    assert (second.outcome, second.incident_id) == ("linked", first.incident_id)
    assert list(incident_of(record, first).alerts) == [first.alert_id, second.alert_id]


def test_what_analysts_do_between_two_alerts_is_seen(
    record: Record, intake: AlertIntake, clock: ManualClock, analyst: ContextMaker
) -> None:
    first = intake.receive("wazuh", alert(1), siem(clock))
    incident = incident_of(record, first)
    incident.triage(analyst(), "Real.")
    record.commit(incident)

    assert intake.receive("wazuh", alert(2), siem(clock)).outcome == "linked"
    assert incident_of(record, first).phase == "triaged"
    assert kinds(record)["incident.alert-linked"] == 2


def test_what_was_remembered_and_lost_is_not_built_upon(
    database_url: str, record: Record, intake: AlertIntake, clock: ManualClock
) -> None:
    """The database failed over to a copy that lacks the last commits of a process that lives on."""
    intake.receive("wazuh", alert(1), siem(clock))
    first = intake.receive("wazuh", alert(2), siem(clock))
    incident = incident_of(record, first)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        table = record.recorder.events_table_name  # type: ignore[attr-defined]
        stream = incident.id if engine.dialect.name == "postgresql" else incident.id.hex
        lost = text(f"DELETE FROM {table} WHERE originator_id = :stream AND originator_version = :version")
        connection.execute(lost, {"stream": stream, "version": incident.version})
    engine.dispose()

    third = intake.receive("wazuh", alert(3), siem(clock))

    assert third.incident_id == incident.id
    assert incident_of(record, third).version == incident.version, "in the place of the one that was lost"
