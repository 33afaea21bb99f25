"""Streams of real events for the tests of this room. Everything in them is invented."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from incidents.alerts import events as alerts
from incidents.assets import events as assets
from incidents.clock import ManualClock
from incidents.incident import events as incident
from incidents.record import Aggregate, Context, Event, Record, stable_id
from notifier.campaigns import events as campaigns
from notifier.deliveries import rows_events as rows
from notifier.history import events as history
from notifier.letters import events as letters
from notifier.public_notice import events as public
from playbooks.duties import events as duties
from playbooks.filings import events as filings
from playbooks.parties import events as parties
from playbooks.runs import events as runs


class Teller:
    """Records events one after another, in the streams where they belong, a minute apart."""

    def __init__(self, record: Record, clock: ManualClock, *, step: timedelta = timedelta(minutes=1)) -> None:
        self._record = record
        self._clock = clock
        self._step = step
        self._streams: dict[UUID, Aggregate] = {}
        self.positions: list[int] = []
        self.told: list[str] = []

    def tell(
        self,
        stream: UUID,
        event_class: type[Event],
        *,
        actor: str = "user:lan",
        happened_at: datetime | None = None,
        **payload: Any,
    ) -> int:
        """Record one event and return its position."""
        self._clock.advance(self._step)
        aggregate = self._streams.setdefault(stream, Aggregate(stream))
        context = Context.of_command(actor, self._clock, happened_at=happened_at)
        aggregate.emit(event_class, context, **payload)
        (position,) = self._record.commit(aggregate)
        self.positions.append(position)
        self.told.append(event_class.kind)
        return position

    @property
    def kinds(self) -> set[str]:
        return set(self.told)

    @property
    def now(self) -> datetime:
        return self._clock.now()


def summary(number: int, detected_at: datetime, *, severity: int = 3) -> incident.AlertSummary:
    return incident.AlertSummary(
        alert_id=stable_id("test-alert", str(number)),
        dialect="wazuh",
        source="siem-1",
        rule="5712",
        title=f"Logins from many places {number}",
        severity_id=severity,
        digest="ab" * 32,
        detected_at=detected_at,
    )


def duty(duty_id: str, now: datetime, **changes: Any) -> duties.DutyOnRecord:
    """A duty with 72 hours, unless `changes` says otherwise."""
    values: dict[str, Any] = {
        "duty_id": duty_id,
        "rule": "eu-gdpr-33",
        "instrument": "GDPR",
        "article": "33(1)",
        "jurisdiction": "EU",
        "recipient": "supervisory authority",
        "recipient_kind": "authority",
        "stage": "initial",
        "status": "due",
        "clock_event": "aware",
        "clock_at": now,
        "strict_due": now + timedelta(hours=72),
        "legal_end": now + timedelta(hours=73),
        "time_zone": "Europe/Berlin",
        "contents": ("nature", "contact"),
        "why": ("personal data was concerned", {"fact": "persons_affected", "value": 200}),
        "confidence": "sure",
        "pack_version": "1",
    }
    return duties.DutyOnRecord(**(values | changes))


def move(recipient: str, state: str, at: datetime, *, channel: str = "sms", language: str | None = "en") -> Any:
    return campaigns.DeliveryMove(
        recipient=stable_id("recipient", recipient),
        delivery=stable_id("delivery", recipient, channel),
        channel=channel,
        state=state,
        at=at,
        language=language,
    )


def whole_story(teller: Teller, number: int = 1) -> UUID:
    """One incident through everything that can be recorded: each kind of event at least once."""
    it, other = stable_id("incident", str(number)), stable_id("incident", str(number), "other")
    register, run = stable_id("duties", str(it)), stable_id("run", str(it))
    campaign, key = stable_id("campaign", str(it)), stable_id("key", str(it))
    tell = teller.tell
    alert = summary(number, teller.now)
    tell(alert.alert_id, alerts.AlertReceived, alert=alert, correlation_key="k", outcome="below_threshold")
    tell(alert.alert_id, alerts.AlertRaised, alert=alert, correlation_key="k", incident_id=it, outcome="declared")
    tell(key, alerts.CorrelationOpened, key="k", incident_id=it)
    tell(it, incident.IncidentReported, title=f"Mailboxes read by a stranger {number}", reported_by="alert")
    tell(it, incident.AlertLinked, alert=alert)
    tell(it, incident.IncidentAssigned, assignee="lan")
    tell(it, incident.IncidentTriaged, assessment="real")
    tell(it, incident.FactsStated, facts={"persons_affected": 200, "nature": ["confidentiality"]}, source="mail log")
    tell(it, incident.IncidentGraded, scheme="cn-2025", scheme_version="1", level="major", met=("a",), open=("b",))
    tell(it, incident.NoteAdded, text="Called the provider.")
    tell(other, incident.IncidentReported, title="The same again", reported_by="person")
    tell(other, incident.IncidentMerged, into=it, reason="same host")
    tell(it, incident.IncidentAbsorbed, incident=other)
    _register(teller, it)
    _duties(teller, it, register)
    _run(teller, it, run)
    _campaign(teller, it, campaign, run)
    exported: dict[str, Any] = {"recipients": 4, "outcomes": {"delivered": 1}, "root": "r", "whole": True}
    why = "the authority asked"
    test: dict[str, Any] = {"to": ("dpo",), "languages": ("en",), "text_digest": "t1", "accepted": 1, "refused": 0}
    removed: dict[str, Any] = {"persons": 4, "attempts": 3, "reason": why}
    tell(uuid4(), rows.DeliveryRowsRemoved, incident_id=it, campaign_id=campaign, **removed)
    tell(uuid4(), history.CampaignTested, incident_id=it, campaign_id=campaign, **test)
    tell(uuid4(), history.HistoryRead, incident_id=it, campaigns=(campaign,), by="address", reason=why)
    tell(uuid4(), history.HistoryExportBegun, incident_id=it, campaign_id=campaign, form="csv", reason=why)
    tell(uuid4(), history.HistoryExported, incident_id=it, campaign_id=campaign, reason=why, form="csv", **exported)
    _in_public(teller, it, campaign)
    _by_post(teller, it, campaign)
    tell(it, incident.IncidentContained)
    tell(it, incident.IncidentEradicated, comment="account closed")
    tell(it, incident.IncidentRecovered)
    tell(it, incident.IncidentClosed)
    tell(it, incident.IncidentReopened, reason="it came back")
    return it


def _register(teller: Teller, it: UUID) -> None:
    """An asset that the incident concerns, and the party that handles it."""
    asset, party = stable_id("asset", str(it)), stable_id("party", str(it))
    contact, point = stable_id("contact", str(it)), stable_id("point", str(it))
    described = assets.AssetDescription(
        name="Patient records",
        owner=assets.NamedParty(name="Ward administration"),
        classification=assets.Classification.IMPORTANT,
        data_classes=("health",),
        persons=1200,
        countries=("CN",),
    )
    revised = described.model_copy(update={"persons": 1300})
    tell = teller.tell
    tell(asset, assets.AssetRegistered, asset=described)
    tell(asset, assets.AssetRevised, asset=revised, changed=("persons",))
    tell(it, incident.AssetLinked, asset_id=asset, asset_version=2, name="Patient records", facts=("data_classes",))
    tell(it, incident.AssetLinked, asset_id=asset, asset_version=2, name="Patient records", kept=("countries",))
    tell(asset, assets.AssetRetired, name="Patient records", reason="replaced")
    its = {"contact": contact, "purpose": "incidents", "point": point, "digest": "ab" * 32}
    described_party = parties.PartyDescription(name="Cloud provider Ltd", direction=parties.Direction.UPSTREAM)
    tell(party, parties.PartyRegistered, party=described_party)
    tell(party, parties.ContactStated, **its, channels=("email", "phone"))
    tell(party, parties.ContactConfirmed, **its, how="called back")
    tell(party, parties.ContactChanged, **its, channels=("email",), reason="they moved")
    tell(party, parties.ContactErased, contact=contact, purpose="incidents", reason="contract ended")
    tell(party, parties.PartyRetired, name="Cloud provider Ltd", reason="contract ended")


def _duties(teller: Teller, it: UUID, register: UUID) -> None:
    def tell(event_class: type[Event], **payload: Any) -> None:
        teller.tell(register, event_class, incident_id=it, **payload)

    tell(duties.DutyIdentified, duty=duty("d-sa", teller.now))
    tell(duties.DutyIdentified, duty=duty("d-people", teller.now, status="possible", recipient_kind="individuals"))
    tell(duties.DutyIdentified, duty=duty("d-final", teller.now, status="waiting_for_clock", strict_due=None))
    tell(duties.DutyIdentified, duty=duty("d-party", teller.now, strict_due=teller.now + timedelta(hours=24)))
    tell(duties.DutyRevised, duty=duty("d-people", teller.now), changed=("status",))
    tell(duties.DutyWaived, duty_id="d-people", reason="keys are safe")
    tell(duties.WaiverOverturned, duty_id="d-people", reason="keys were not safe")
    tell(duties.DutyWarned, duty_id="d-party", percent=50)
    tell(duties.DutyMissed, duty_id="d-party", strict_due=teller.now)
    tell(duties.DutyAcknowledged, duty_id="d-party", step=101)
    tell(duties.DutyFulfilled, duty_id="d-sa", rule="eu-gdpr-33", how="filing", late=False, submitted_at=teller.now)
    tell(duties.DutyAssigned, duty_id="d-party", owner="dpo", name="Data protection office")
    tell(
        duties.DelayRequested,
        delay_id="letter-1",
        by="law_enforcement",
        authority="Police of Berlin",
        form="written",
        stated_at=teller.now,
        until=teller.now + timedelta(days=3),
        reason="arrests are near",
    )
    tell(duties.DutyResumed, duty_id="d-party", waited_until=teller.now)
    tell(duties.DelayEnded, delay_id="letter-1", ended_at=teller.now, reason="arrests were made")
    tell(duties.DutyLifted, duty_id="d-final", reason="no longer triggered")
    _filing(teller, it)


def _filing(teller: Teller, it: UUID) -> None:
    def tell(event_class: type[Event], **payload: Any) -> None:
        teller.tell(stable_id("filing", str(it)), event_class, incident_id=it, duty_id="d-sa", **payload)

    judged = filings.FilingJudged(
        digest="f1",
        missing=("cause",),
        not_yet_known=("effects",),
        override_reason="told by telephone",
        warnings=("changed_since",),
    )
    tell(filings.FilingWritten, items={"nature": filings.ItemWritten(text="a leak")})
    tell(filings.FilingApproved, judged=judged)
    tell(filings.FilingSubmitted, judged=judged, submitted_at=teller.now, receipt="SA-1")


def _run(teller: Teller, it: UUID, run: UUID) -> None:
    def tell(event_class: type[Event], **payload: Any) -> None:
        teller.tell(run, event_class, incident_id=it, **payload)

    title = {"en": "Confirm that it is real", "zh-Hans": "核实事件"}
    timer = stable_id("timer", str(run))
    definition = {"title": {"en": "Personal data breach", "zh-Hans": "个人信息泄露"}, "steps": []}
    tell(runs.RunStarted, playbook="personal-data-breach", definition=definition, definition_digest="d1")
    tell(runs.StepStarted, step="triage", step_kind="task", title=title, details={"facts": ["nature"]})
    tell(runs.TimerSet, timer_id=timer, step="triage", due_at=teller.now + timedelta(hours=1))
    tell(runs.TimerFired, timer_id=timer, step="triage")
    tell(runs.StepCompleted, step="triage", outcome="done", comment="seen it")
    tell(runs.StepStarted, step="approve", step_kind="approval", title=title)
    tell(runs.TimerSet, timer_id=timer, step="approve", due_at=teller.now + timedelta(hours=1))
    tell(runs.StepStarted, step="notify", step_kind="notify", title=title)
    tell(runs.TimerCancelled, timer_id=timer, step="approve")
    tell(runs.StepCompleted, step="approve", outcome="approved")
    tell(runs.StepCompleted, step="never-opened", outcome="skipped")
    tell(runs.RunFinished, outcome="completed")


def _campaign(teller: Teller, it: UUID, campaign: UUID, run: UUID) -> None:
    def tell(event_class: type[Event], actor: str = "user:lan", **payload: Any) -> None:
        teller.tell(campaign, event_class, actor=actor, incident_id=it, **payload)

    digests = {"text_digest": "t1", "audience_digest": "a1"}
    tell(
        campaigns.CampaignDrafted,
        run_id=run,
        step="draft",
        template="breach",
        template_version="1",
        values={"contact": "desk"},
        duties=("d-people",),
    )
    tell(campaigns.CampaignTextRevised, values={"contact": "privacy desk"})
    tell(
        campaigns.AudienceAttached,
        audience_id=stable_id("audience", str(it)),
        recipients=4,
        by_language={"en": 2, "zh-Hans": 2},
        by_channel={"sms": 4, "email": 2},
        audience_digest="a1",
    )
    tell(campaigns.ApprovalRequested, **digests)
    tell(campaigns.CampaignRejected, actor="user:minh", reason="say which data")
    tell(campaigns.ApprovalRequested, **digests)
    tell(campaigns.CampaignApproved, actor="user:minh", **digests)
    tell(campaigns.SuppressionOverridden, actor="user:minh", reason="the article names no exception")
    tell(campaigns.CampaignStarted, recipients=4)
    tell(campaigns.CampaignPaused, actor="user:minh", reason="the telephone desk is not staffed yet")
    tell(campaigns.CampaignResumed, actor="user:minh", reason="it is now")
    tell(campaigns.CampaignCancelled, actor="user:minh", reason="the data were found to be encrypted")
    at = teller.now
    record_moves(teller, it, campaign, move("a", "claimed", at), move("b", "claimed", at), move("c", "claimed", at))
    record_moves(teller, it, campaign, move("a", "delivered", at), move("b", "failed", at), move("c", "ambiguous", at))
    record_moves(teller, it, campaign, move("b", "accepted", at + timedelta(seconds=9), channel="email"))
    teller.tell(
        stable_id("deliveries", str(campaign)),
        campaigns.DeliveriesCancelled,
        actor="system:tocsin",
        incident_id=it,
        campaign_id=campaign,
        up_to=len(teller.positions),
        untried={"sms": 1},
    )
    tell(campaigns.CampaignFinished, outcomes={"reached": 1, "accepted": 1, "ambiguous": 1, "cancelled": 1})


def _in_public(teller: Teller, it: UUID, campaign: UUID) -> None:
    tell = partial(teller.tell, stable_id("public-notice", str(campaign)), incident_id=it)
    tell(public.PublicNoticeSuggested, campaign_id=campaign, recipients=40, unreached=12, rules=("us-hipaa",))
    tell(public.PublicNoticeDismissed, actor="user:minh", reason="letters go out")
    tell(public.PublicNoticeDrafted, template="personal-data-breach", template_version="1", values={})
    tell(public.PublicNoticeApprovalRequested, text_digest="sha256:1", languages=("en",))
    tell(public.PublicNoticeRejected, actor="user:minh", reason="say which data")
    tell(public.PublicNoticeRevised, values={}, correction={"en": "the day was wrong"})
    said = {"en": public.SaidInPublic(subject="A breach", text="What happened")}
    tell(public.PublicNoticePublished, actor="user:minh", number=1, text_digest="sha256:1", code="c", words=said)


def _by_post(teller: Teller, it: UUID, campaign: UUID) -> None:
    tell = partial(teller.tell, stable_id("letters", str(campaign)), incident_id=it, campaign_id=campaign)
    tell(letters.LetterBatchMade, letters=2)
    tell(letters.LetterBatchExported, part="letters", sha256="1", letters=2, left_out=0)
    tell(letters.LetterBatchStated, state="handed_over", their_reference="Post 12")


def record_moves(teller: Teller, it: UUID, campaign: UUID, *moves: Any) -> None:
    teller.tell(
        stable_id("deliveries", str(campaign)),
        campaigns.DeliveriesRecorded,
        actor="system:tocsin",
        incident_id=it,
        campaign_id=campaign,
        up_to=len(teller.positions),
        moves=moves,
    )


def many_stories(teller: Teller, count: int, *, seed: int = 1) -> Iterator[UUID]:
    """Whole stories, each followed by shuffled alerts, duties and deliveries; the same for the same seed."""
    chance = random.Random(seed)
    for number in range(count):
        it = whole_story(teller, number)
        more = [partial(_another_alert, teller, it, n) for n in range(number * 100, number * 100 + 5)]
        more += [partial(_another_duty, teller, it, n % 3) for n in range(4)]
        more += [partial(_random_moves, teller, it, chance) for _ in range(5)]
        chance.shuffle(more)
        for one in more:
            one()
        yield it


def _another_alert(teller: Teller, it: UUID, number: int) -> None:
    teller.tell(it, incident.AlertLinked, alert=summary(number, teller.now, severity=number % 6))


def _another_duty(teller: Teller, it: UUID, number: int) -> None:
    one = duty(f"x-{number}", teller.now)
    teller.tell(stable_id("duties", str(it)), duties.DutyIdentified, incident_id=it, duty=one)


def _random_moves(teller: Teller, it: UUID, chance: random.Random) -> None:
    states = ("claimed", "accepted", "sent", "delivered", "failed", "ambiguous")
    moves = [
        move(chance.choice("abcd"), chance.choice(states), teller.now, channel=chance.choice(["sms", "email"]))
        for _ in range(3)
    ]
    record_moves(teller, it, stable_id("campaign", str(it)), *moves)
