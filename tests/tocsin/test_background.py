"""Bridges, alarms and workers over real services: runs open campaigns, campaigns move runs, clocks are loud."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert

from incidents.clock import ManualClock
from incidents.errors import FieldFault, InvalidInput
from incidents.record import Context
from incidents.record.database import writing
from notifier.campaigns.campaign import Campaign, CampaignStatus
from notifier.campaigns.events import CampaignDrafted
from notifier.deliveries.tables import sendings
from playbooks.duties.events import DutyMissed, DutyWarned
from playbooks.runs.events import TimerFired
from playbooks.runs.run import Run
from tests.conftest import NIGHT, ContextMaker
from tocsin.access.answers import Answer
from tocsin.alarms import Alarms, AlarmsFailed
from tocsin.background import Background
from tocsin.bridges import campaign_of_step
from tocsin.observability.metrics import Metrics
from tocsin.roles import EVERYTHING, Role
from tocsin.services import Services
from tocsin.workers import AsyncWorker, Paced, RepeatingWorker, Workers

FACTS = {
    "event_kinds": ["personal_data_breach"],
    "data_classes": ["personal", "health"],
    "data_events": ["leaked"],
    "persons_affected": 2,
    "persons_by_country": {"DE": 2},
    "countries": ["DE"],
    "risk_to_persons": "high",
    "direct_loss": {"CNY": 0},
}
CSV = b"name,phone,email,language,country\nAnna Weber,,anna@example.org,en,DE\nBen Novak,,ben@example.org,en,DE\n"


@pytest.fixture
def settle(services: Services) -> Callable[[], None]:
    """Do everything that follows by itself, in this thread."""
    background = Background(services)

    def run() -> None:
        while not background.is_settled():
            for follower in background.followers:
                follower.drain()
        services.projections.drain()

    return run


@pytest.fixture
def incident_id(services: Services, analyst: ContextMaker, settle: Callable[[], None]) -> UUID:
    incident = services.incidents.report(uuid4(), analyst(), title="Bulk export")
    services.incidents.triage(incident.id, analyst())
    services.incidents.state_facts(incident.id, analyst(), FACTS)
    settle()
    return incident.id


def run_of(services: Services, incident_id: UUID) -> Run:
    return services.record.load(Run, Run.id_for(incident_id, "personal-data-breach"))


def campaign_id_of(services: Services, incident_id: UUID) -> UUID:
    campaign_id = campaign_of_step(services.record, Run.id_for(incident_id, "personal-data-breach"), "draft-notice")
    assert campaign_id is not None
    return campaign_id


def test_a_run_opens_one_draft_that_says_what_is_known(services: Services, incident_id: UUID) -> None:
    campaign = services.record.load(Campaign, campaign_id_of(services, incident_id))

    assert campaign.run_id == Run.id_for(incident_id, "personal-data-breach")
    assert campaign.values["organisation"]["zh-Hans"] == "灯笼银行"
    assert campaign.values["data_kinds"]["en"] == ["Health"]
    assert "nature_of_breach" in campaign.required_items
    assert "eu-gdpr-34-individuals:eu.affected_individuals:individual" in campaign.duties


def test_the_draft_is_opened_once_however_often_the_event_is_seen(
    services: Services, incident_id: UUID, clock: ManualClock
) -> None:
    from tocsin.background import _bridge

    handler = _bridge(services)._handler
    for recorded in services.record.read(0, 1000, kinds=["run.step-started"]):
        assert list(handler(recorded)) == []

    drafted = services.record.read(0, 1000, kinds=[CampaignDrafted.kind])
    assert len(drafted) == 1


def test_approval_moves_the_run_and_rejection_sends_it_back(
    services: Services,
    incident_id: UUID,
    analyst: ContextMaker,
    clock: ManualClock,
    settle: Callable[[], None],
) -> None:
    campaign_id = campaign_id_of(services, incident_id)
    second = ContextMaker(clock, "user:qiang")
    audience = services.audiences.import_csv(io.BytesIO(CSV), analyst())
    services.campaigns.attach_audience(analyst(), campaign_id, audience.audience_id)
    values = services.record.load(Campaign, campaign_id).values
    services.campaigns.revise_text(analyst(), campaign_id, {**values, **words()})
    services.campaigns.request_approval(analyst(), campaign_id)
    settle()
    assert "approve-notice" in run_of(services, incident_id).open_steps()

    services.campaigns.reject(second(), campaign_id, reason="Say what people can do.")
    settle()
    assert "draft-notice" in run_of(services, incident_id).open_steps()

    services.campaigns.revise_text(analyst(), campaign_id, {**values, **words("Change your password.")})
    services.campaigns.request_approval(analyst(), campaign_id)
    view = services.campaigns.view(campaign_id)
    services.campaigns.approve(
        second(), campaign_id, text_digest=view.text_digest, audience_digest=view.audience_digest
    )
    settle()

    run = run_of(services, incident_id)
    assert run.steps["approve-notice"].outcome == "approved"
    assert services.record.load(Campaign, campaign_id).status is CampaignStatus.STARTED

    campaign = services.record.load(Campaign, campaign_id)
    campaign.finish(Context.of_command("system:notifier", clock), {"reached": 2})
    services.record.commit(campaign)
    settle()
    register = services.duties.register(incident_id)
    assert run_of(services, incident_id).steps["notify-people"].outcome == "sent"
    assert register.duties["eu-gdpr-34-individuals:eu.affected_individuals:individual"].fulfilled_at == NIGHT


def words(advice: str = "Be wary of calls.") -> dict[str, object]:
    texts = {
        "incident_summary": "A table was copied.",
        "cause": "A stolen password.",
        "risk": "No misuse is known.",
        "consequences": "Somebody may pose as us.",
    }
    languages = ("en", "zh-Hans", "vi")
    lists = {"measures_taken": ["locked the account"], "advice": [advice], "data_kinds": ["health"]}
    return {
        **{name: dict.fromkeys(languages, text) for name, text in texts.items()},
        **{name: dict.fromkeys(languages, entries) for name, entries in lists.items()},
    }


def test_clocks_are_loud_before_and_after(
    services: Services, incident_id: UUID, clock: ManualClock, settle: Callable[[], None]
) -> None:
    alarms = Alarms(services.engine, services.duties, services.runs, clock, uuid4)
    heard = []
    for hours in (1, 36, 37, 58, 69, 73):
        clock.move_to(NIGHT + timedelta(hours=hours))
        position = services.record.head()
        alarms.run_once()
        heard += [
            (hours, event.percent if isinstance(event, DutyWarned) else "missed")
            for recorded in services.record.read(position, 100, kinds=[DutyWarned.kind, DutyMissed.kind])
            if isinstance(event := recorded.event, DutyWarned | DutyMissed) and event.duty_id.startswith("eu-gdpr-33-1")
        ]
        settle()

    assert heard == [(36, 50), (58, 80), (69, 95), (73, "missed")]


def test_one_incident_that_cannot_be_called_out_silences_no_other(
    services: Services,
    incident_id: UUID,
    analyst: ContextMaker,
    clock: ManualClock,
    settle: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = services.incidents.report(uuid4(), analyst(), title="Another export").id
    services.incidents.triage(other, analyst())
    services.incidents.state_facts(other, analyst(), FACTS)
    settle()
    clock.advance(timedelta(hours=73))
    watch = services.duties.watch

    def broken_for_one(of: UUID, context: Context) -> object:
        if of == incident_id:
            raise ValueError("a register that cannot be read")
        return watch(of, context)

    monkeypatch.setattr(services.duties, "watch", broken_for_one)
    with pytest.raises(AlarmsFailed):
        Alarms(services.engine, services.duties, services.runs, clock, uuid4).run_once()

    missed = [r.event for r in services.record.read(0, 5000, kinds=[DutyMissed.kind])]
    assert {event.incident_id for event in missed if isinstance(event, DutyMissed)} == {other}


def test_a_task_that_waits_too_long_is_called_out_once(
    services: Services, incident_id: UUID, clock: ManualClock, settle: Callable[[], None]
) -> None:
    alarms = Alarms(services.engine, services.duties, services.runs, clock, uuid4)
    clock.advance(timedelta(hours=4, minutes=1))
    alarms.run_once()
    settle()
    alarms.run_once()

    fired = [r.event for r in services.record.read(0, 1000, kinds=[TimerFired.kind])]
    assert [event.step for event in fired if isinstance(event, TimerFired)] == ["contain"]


def test_a_worker_survives_a_failure_and_is_counted(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.workers.BACK_OFF_SECONDS", 0.01)
    succeeded = threading.Event()
    failures = iter([True, True, False])

    def work() -> int:
        if next(failures, False):
            raise OSError("disk full")
        succeeded.set()
        return 0

    metrics = Metrics()
    workers = Workers([RepeatingWorker("shaky", work, metrics, poll_seconds=0.01)], services.record)
    workers.start()
    assert succeeded.wait(20)
    assert workers.dead() == []
    assert workers.stop()

    assert metrics.worker_faults.labels("shaky")._value.get() == 2


def test_a_worker_that_fails_again_and_again_is_named(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.workers.BACK_OFF_SECONDS", 0.001)
    enough = threading.Event()
    turns: list[int] = []

    def work() -> int:
        turns.append(1)
        if len(turns) > 5:
            enough.set()
        raise OSError("disk full")

    workers = Workers([RepeatingWorker("stuck", work, Metrics())], services.record)
    workers.start()
    assert enough.wait(20)

    assert workers.failing() == ["stuck"]
    assert workers.stop()


def test_projections_that_fail_again_and_again_are_named(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    background = Background(services)
    assert background.workers.failing() == []

    monkeypatch.setattr(services.projections, "failures", 3)

    assert background.workers.failing() == ["projections"]
    assert "projections" in (background.fault() or "")


class Telling:
    """A worker that fails and says why."""

    failures = 3

    def __init__(self, name: str) -> None:
        self.name = name

    def fault(self) -> str | None:
        return "Kafka does not take events: KafkaConnectionError"

    def run(self, stop: threading.Event) -> None:
        stop.wait()

    def wake(self) -> None:
        pass


def test_a_worker_that_says_why_it_fails_is_quoted(services: Services) -> None:
    """Where nothing else is done that makes the process unfit; behind a door it is a note, and the door stays open."""
    relay, door = Background(services, [Role.RELAY], process="relay-1"), Background(services, EVERYTHING)
    for background in (relay, door):
        background.workers = Workers([Telling("event-relay")], services.record)
        background.workers.start()
    said = "Kafka does not take events: KafkaConnectionError"

    assert relay.fault() == f"these workers fail again and again, see the log: event-relay ({said})"
    assert relay.notes() == []
    assert door.fault() is None
    assert door.notes() == [FieldFault("event-relay", said)]
    for background in (relay, door):
        assert background.workers.stop()


def test_who_sends_is_fit_without_hints_and_says_so(services: Services) -> None:
    background = Background(services, [Role.NOTIFIER], process="notifier-1")
    background.workers = Workers([Telling("delivery-hints")], services.record)
    background.workers.start()

    assert background.fault() is None
    assert [note.field for note in background.notes()] == ["delivery-hints"]
    assert background.workers.stop()


def test_asynchronous_work_runs_on_the_fast_loop(services: Services) -> None:
    seen: list[str] = []
    done = threading.Event()

    async def work() -> int:
        seen.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])
        done.set()
        return 0

    async def nothing() -> None:
        pass

    workers = Workers([AsyncWorker("a", work, services.metrics, begin=nothing, close=nothing)], services.record)
    workers.start()
    assert done.wait(10)
    assert workers.stop()
    assert seen[0] == "uvloop"


def test_paced_work_is_not_done_at_every_wake() -> None:
    now, done = [100.0], []

    def work() -> int:
        done.append(now[0])
        return 1

    paced = Paced(work, 60, monotonic=lambda: now[0])
    for now[0] in (100.0, 101.0, 159.0, 160.0, 161.0):
        assert paced() == 0

    assert done == [100.0, 160.0]


def test_gauges_say_what_there_is(
    services: Services, incident_id: UUID, analyst: ContextMaker, clock: ManualClock, settle: Callable[[], None]
) -> None:
    background = Background(services)
    background.gauges.measure()
    value = services.metrics.registry.get_sample_value
    duties = len(services.duties.register(incident_id).open_duties())
    assert duties > 0
    assert value("tocsin_open_duties", {"used": "0"}) == duties
    assert value("tocsin_follower_lag_events", {"follower": "projection-deadlines"}) == 0

    clock.advance(timedelta(hours=73))
    Alarms(services.engine, services.duties, services.runs, clock, uuid4).run_once()
    services.incidents.report(uuid4(), analyst(), title="Another")
    head = services.record.head()
    background.gauges.measure()
    assert value("tocsin_follower_lag_events", {"follower": "projection-deadlines"}) > 0  # type: ignore[operator]
    follower = background.followers[0]
    assert value("tocsin_follower_lag_events", {"follower": follower.name}) == head - services.record.position_of(
        follower.name
    )

    settle()
    background.gauges.measure()
    assert value("tocsin_open_duties", {"used": "missed"}) > 0  # type: ignore[operator]
    assert value("tocsin_follower_lag_events", {"follower": follower.name}) == 0
    assert value("tocsin_delivery_moves_waiting") == 0


def test_people_are_counted_by_outcome_over_all_campaigns(services: Services) -> None:
    background = Background(services)
    background.gauges.measure()
    assert services.metrics.registry.get_sample_value("tocsin_recipients", {"outcome": "reached"}) is None

    blank = {"incident_id": UUID(int=1), "audience_id": UUID(int=2), "started_reference": "x", "policy": "x"}
    with writing(services.engine) as connection:
        for number, reached in ((3, 5), (4, 7)):
            row = blank | {"campaign_id": UUID(int=number), "started_at": NIGHT, "drill": False, "reached": reached}
            connection.execute(insert(sendings).values(row))
    background.gauges.measure()

    assert services.metrics.registry.get_sample_value("tocsin_recipients", {"outcome": "reached"}) == 12
    assert services.metrics.registry.get_sample_value("tocsin_recipients", {"outcome": "failed"}) == 0


def test_old_answers_are_forgotten_while_the_service_runs(services: Services, clock: ManualClock) -> None:
    services.answers.remember("key", "old", b"digest", Answer(201, "{}", {}))
    clock.advance(timedelta(days=8))
    services.answers.remember("key", "new", b"digest", Answer(201, "{}", {}))
    background = Background(services)
    stop = threading.Event()
    worker = next(worker for worker in background.workers if worker.name == "memory")
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        while services.answers.recall("key", "old", b"digest") is not None:
            assert thread.is_alive()
    finally:
        stop.set()
        worker.wake()
        thread.join(20)

    assert services.answers.recall("key", "new", b"digest") is not None


def test_a_commit_wakes_the_workers(services: Services, analyst: ContextMaker) -> None:
    turns: list[int] = []
    woken = threading.Event()

    def work() -> int:
        turns.append(1)
        if len(turns) > 1:
            woken.set()
        return 0

    workers = Workers([RepeatingWorker("sleepy", work, Metrics(), poll_seconds=3600)], services.record)
    workers.start()
    while not turns:
        pass
    services.incidents.report(uuid4(), analyst(), title="Wake up")

    assert woken.wait(20)
    assert workers.stop()


def ready_campaign(services: Services, campaign_id: UUID, analyst: ContextMaker, clock: ManualClock) -> ContextMaker:
    """Complete a draft and ask for approval. Returns the second person."""
    audience = services.audiences.import_csv(io.BytesIO(CSV), analyst())
    services.campaigns.attach_audience(analyst(), campaign_id, audience.audience_id)
    values = services.record.load(Campaign, campaign_id).values
    services.campaigns.revise_text(analyst(), campaign_id, {**values, **words()})
    services.campaigns.request_approval(analyst(), campaign_id)
    return ContextMaker(clock, "user:qiang")


def approve(services: Services, campaign_id: UUID, second: ContextMaker) -> None:
    view = services.campaigns.view(campaign_id)
    services.campaigns.approve(
        second(), campaign_id, text_digest=view.text_digest, audience_digest=view.audience_digest
    )


def test_a_text_changed_right_after_its_approval_is_not_sent_and_stops_nobody(
    services: Services, incident_id: UUID, analyst: ContextMaker, clock: ManualClock, settle: Callable[[], None]
) -> None:
    campaign_id = campaign_id_of(services, incident_id)
    second = ready_campaign(services, campaign_id, analyst, clock)
    approve(services, campaign_id, second)
    values = services.record.load(Campaign, campaign_id).values
    services.campaigns.revise_text(analyst(), campaign_id, {**values, **words("Call us.")})
    settle()
    assert services.record.load(Campaign, campaign_id).status is CampaignStatus.DRAFT
    assert "draft-notice" in run_of(services, incident_id).open_steps()

    services.campaigns.request_approval(analyst(), campaign_id)
    approve(services, campaign_id, second)
    settle()
    assert services.record.load(Campaign, campaign_id).status is CampaignStatus.STARTED


def test_a_campaign_without_a_run_starts_when_it_is_approved(
    services: Services, incident_id: UUID, analyst: ContextMaker, clock: ManualClock, settle: Callable[[], None]
) -> None:
    values = services.record.load(Campaign, campaign_id_of(services, incident_id)).values
    own = services.campaigns.draft(
        analyst(), incident_id=incident_id, template="personal-data-breach", values=values
    ).campaign_id
    approve(services, own, ready_campaign(services, own, analyst, clock))
    settle()

    assert services.record.load(Campaign, own).status is CampaignStatus.STARTED


def test_what_the_law_demands_is_asked_again_at_the_approval(
    services: Services, incident_id: UUID, analyst: ContextMaker, clock: ManualClock
) -> None:
    """A draft made before anything was due, or with no duties named, demands nothing by itself."""
    own = services.campaigns.draft(
        analyst(),
        incident_id=incident_id,
        template="personal-data-breach",
        values={
            "organisation": "Lantern Bank",
            "contact_point": "Desk",
            "incident_summary": dict.fromkeys(("en", "zh-Hans", "vi"), "Something happened."),
        },
    ).campaign_id
    audience = services.audiences.import_csv(io.BytesIO(CSV), analyst())
    services.campaigns.attach_audience(analyst(), own, audience.audience_id)
    services.campaigns.request_approval(analyst(), own)

    with pytest.raises(InvalidInput, match="lacks content that the law demands"):
        approve(services, own, ContextMaker(clock, "user:qiang"))


@pytest.mark.parametrize("outcome", ["failed", "ambiguous"])
def test_a_notice_that_reached_nobody_for_certain_fulfils_nothing(
    services: Services,
    incident_id: UUID,
    analyst: ContextMaker,
    clock: ManualClock,
    settle: Callable[[], None],
    outcome: str,
) -> None:
    campaign_id = campaign_id_of(services, incident_id)
    approve(services, campaign_id, ready_campaign(services, campaign_id, analyst, clock))
    settle()
    campaign = services.record.load(Campaign, campaign_id)
    campaign.finish(Context.of_command("system:notifier", clock), {"reached": 0, outcome: 2})
    services.record.commit(campaign)
    settle()

    duty = services.duties.register(incident_id).duties["eu-gdpr-34-individuals:eu.affected_individuals:individual"]
    assert duty.is_open
    assert duty.fulfilled_at is None


def test_a_drills_notice_is_a_drill_and_fulfils_nothing(
    services: Services, analyst: ContextMaker, clock: ManualClock, settle: Callable[[], None]
) -> None:
    incident = services.incidents.report(uuid4(), analyst(), title="Exercise")
    services.runs.start(incident.id, "personal-data-breach", analyst(), drill=True)
    services.incidents.triage(incident.id, analyst())
    services.incidents.state_facts(incident.id, analyst(), FACTS)
    settle()

    campaign = services.record.load(Campaign, campaign_id_of(services, incident.id))

    assert campaign.drill
    assert campaign.duties == ()


def test_the_bridge_goes_on_after_what_the_state_refuses(
    services: Services, incident_id: UUID, analyst: ContextMaker, clock: ManualClock, settle: Callable[[], None]
) -> None:
    """A campaign rejected between its approval and its start once stopped the bridge for everybody."""
    campaign_id = campaign_id_of(services, incident_id)
    second = ready_campaign(services, campaign_id, analyst, clock)
    approve(services, campaign_id, second)
    services.campaigns.reject(second(), campaign_id, reason="Wait for counsel.")

    settle()

    assert services.record.load(Campaign, campaign_id).status is CampaignStatus.REJECTED
    assert "draft-notice" in run_of(services, incident_id).open_steps()
