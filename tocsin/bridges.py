"""Where playbooks and notifier meet: events of one become commands to the other. Neither knows the other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from incidents.clock import Clock
from incidents.facts import Facts, OrganisationProfile, vocabulary
from incidents.incident.incident import Incident
from incidents.incident.known import known_facts
from incidents.privacy import find_contacts
from incidents.record import Context, Event, Follower, Record, stable_id
from notifier.campaigns.campaign import Campaign, CampaignStatus, Demand
from notifier.campaigns.events import (
    ApprovalRequested,
    AudienceAttached,
    CampaignApproved,
    CampaignFinished,
    CampaignRejected,
    CampaignTextRevised,
)
from notifier.campaigns.service import CampaignService
from notifier.templates import Templates
from playbooks.duties.service import DutyService
from playbooks.runs.events import StepStarted
from playbooks.runs.run import Run
from playbooks.runs.service import RunService
from tocsin.bridge import Bridge

log = structlog.get_logger(__name__)

TOLD = ("reached", "accepted")
"""Outcomes of people who were told, or whom the provider took and never reported on. Who was perhaps told fulfils no
duty: a person may say so."""

_CAMPAIGN_MOVES: dict[type[Event], str] = {
    ApprovalRequested: "approval-requested",
    CampaignApproved: "approved",
    CampaignRejected: "rejected",
    CampaignTextRevised: "voided",
    AudienceAttached: "voided",
    CampaignFinished: "finished",
}


def demand_of(duties: DutyService, incident_id: UUID) -> Demand:
    """What the law wants of a notice to people about an incident now: read from the duties on record."""
    told = duties.register(incident_id).open_duties(recipient_kinds=("individuals",))
    due = [state.duty for state in told.values() if state.duty.status == "due"]
    return Demand(
        duties=tuple(sorted(duty.duty_id for duty in due)),
        items=tuple(sorted({item for duty in due for item in duty.contents})),
    )


def deadline_of(duties: DutyService, incident_id: UUID, names: Sequence[str]) -> datetime | None:
    """By when the people have to be told: the first deadline among these duties, of those that are still open. Where a
    notice is sent for no duty yet, of all that are due to people."""
    told = duties.register(incident_id).open_duties(recipient_kinds=("individuals",))
    wanted = [state.duty for name, state in told.items() if not names or name in names]
    ends = [duty.strict_due for duty in wanted if duty.status == "due" and duty.strict_due is not None]
    return min(ends, default=None)


def campaign_of_step(record: Record, run_id: UUID, draft_step: str) -> UUID | None:
    """The campaign that a run's draft step opened: its id follows from the event that opened the step first."""
    for event in record.stream(run_id):
        if isinstance(event, StepStarted) and event.step == draft_step:
            return stable_id("campaign", event.reference)
    return None


class CampaignBridge(Bridge):
    """Opens and starts campaigns for runs, and tells runs and duties what became of them."""

    def __init__(
        self,
        record: Record,
        *,
        campaigns: CampaignService,
        runs: RunService,
        duties: DutyService,
        templates: Templates,
        profile: OrganisationProfile,
        clock: Clock,
        policy: Any = "at_least_once",
    ) -> None:
        super().__init__(record, clock)
        self._campaigns = campaigns
        self._runs = runs
        self._duties = duties
        self._templates = templates
        self._profile = profile
        self._policy = policy

    def follower(self) -> Follower:
        """The follower that drives it."""
        kinds = [StepStarted.kind, *(event.kind for event in _CAMPAIGN_MOVES)]
        return Follower(self._record, "campaign-bridge", self, kinds=kinds)

    def _act(self, event: Event, context: Context) -> None:
        if not isinstance(event, StepStarted):
            self._tell(event, context)
        elif event.step_kind == "draft_notice":
            self._draft(event, context)
        elif event.step_kind == "notify":
            campaign_id = campaign_of_step(self._record, event.originator_id, event.details["of"])
            if campaign_id is not None:
                self._start_if_ready(self._record.load(Campaign, campaign_id), context)

    def _draft(self, event: StepStarted, context: Context) -> None:
        """Open a draft with everything the facts already say. A draft that was rejected is revised, not opened anew."""
        if campaign_of_step(self._record, event.originator_id, event.step) != stable_id("campaign", event.reference):
            return
        incident = self._record.load(Incident, event.incident_id)
        facts = known_facts(incident, self._profile)
        demand = demand_of(self._duties, event.incident_id)
        drill = self._record.load(Run, event.originator_id).drill
        template = event.details["template"]
        self._campaigns.draft(
            context,
            incident_id=event.incident_id,
            template=template,
            values=self._values(template, facts),
            required_items=demand.items,
            duties=() if drill else demand.duties,
            drill=drill,
            run_id=event.originator_id,
            step=event.step,
            policy=self._policy,
        )

    def _values(self, template: str, facts: Facts) -> dict[str, Any]:
        """What facts and profile can say in a notice; the rest is a person's to write."""
        languages = self._templates.get(template).languages
        contact = self._profile.dpo or self._profile.incident_contact
        names = {language: self._profile.names.get(language, self._profile.name) for language in languages}
        values: dict[str, Any] = {"organisation": names}
        if contact is not None:
            # A name with a number in it is refused there; the draft must open all the same, for a person to complete.
            called = {language: contact.called(language) for language in languages}
            if not any(find_contacts(name) for name in called.values()):
                values["contact_point"] = called
            values |= {
                name: text
                for name, text in (("contact_phone", contact.phone), ("contact_email", contact.email))
                if text
            }
        for name, fact in (("occurred_on", "occurred_at"), ("discovered_on", "discovered_at")):
            if (day := self._day(facts, fact)) is not None:
                values[name] = day.isoformat()
        classes = facts.get("data_classes")
        if isinstance(classes, frozenset):
            words = vocabulary()["data_classes"].values
            # "personal" says nothing that a more exact word does not say better.
            named = sorted(classes - {"personal"}) or sorted(classes)
            values["data_kinds"] = {
                "en": [words[word].en for word in named],
                "zh-Hans": [words[word].zh for word in named],
            }
        return values

    def _day(self, facts: Facts, name: str) -> date | None:
        instant = facts.instant(name)
        return instant.astimezone(ZoneInfo(self._profile.time_zone)).date() if instant else None

    def _start_if_ready(self, campaign: Campaign, context: Context) -> None:
        """Start what is approved: at once when no run plans it, else when the run has come to its sending."""
        if campaign.status is not CampaignStatus.APPROVED:
            return
        if campaign.run_id is not None and campaign.step is not None:
            run = self._record.find(Run, campaign.run_id)
            if run is not None and not run.is_waiting_to_send(campaign.step):
                return
        self._campaigns.start(context, campaign.id)

    def _tell(self, event: Event, context: Context) -> None:
        campaign = self._record.load(Campaign, event.originator_id)
        if campaign.run_id is not None and campaign.step is not None:
            comment = event.reason if isinstance(event, CampaignRejected) else ""
            self._runs.campaign_moved(
                campaign.run_id, campaign.step, _CAMPAIGN_MOVES[type(event)], context, comment=comment
            )
        if isinstance(event, CampaignApproved):
            self._start_if_ready(campaign, context)
        if isinstance(event, CampaignFinished) and not campaign.drill:
            self._finished(campaign, event, context)

    def _finished(self, campaign: Campaign, event: CampaignFinished, context: Context) -> None:
        """The notice went out: the duties it was sent for are fulfilled, at the time the campaign finished.

        A campaign that reached nobody, or was cancelled, fulfils nothing: its duties stay open and go on being called
        out.
        """
        if campaign.cancellation_reason is not None:
            log.error("bridge.cancelled", campaign_id=str(campaign.id), outcomes=event.outcomes)
            return
        told = sum(event.outcomes.get(outcome, 0) for outcome in TOLD)
        if not told:
            log.error("bridge.nobody-told", campaign_id=str(campaign.id), outcomes=event.outcomes)
            return
        self._fulfil(campaign.incident_id, campaign.duties, event.happened_at, "campaign", context)
