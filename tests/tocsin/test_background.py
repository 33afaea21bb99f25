"""Bridges, alarms and workers over real services: runs open campaigns, campaigns move runs, clocks are loud."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from incidents.clock import ManualClock
from incidents.errors import InvalidInput
from incidents.record import Context
from notifier.campaigns.campaign import Campaign, CampaignStatus
from notifier.campaigns.events import CampaignDrafted
from playbooks.duties.events import DutyMissed, DutyWarned
from playbooks.runs.events import TimerFired
from playbooks.runs.run import Run
from tests.conftest import NIGHT, ContextMaker
from tests.tocsin.breach import CSV, FACTS
from tocsin.alarms import Alarms, AlarmsFailed
from tocsin.background import Background
from tocsin.bridges import campaign_of_step
from tocsin.services import Services


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
    called = campaign.values["contact_point"]
    assert (called["zh-Hans"], called["vi"]) == ("事件处置组", "Incident desk"), "in its own language where it has one"
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
