"""What the page of one incident shows, gathered from the record and the read models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from incidents.errors import IllegalTransition, InvalidInput, NotFound
from incidents.facts import vocabulary
from incidents.incident.incident import Incident
from incidents.incident.known import known_facts
from incidents.reference import reference_of
from notifier.campaigns.forecast import Forecast
from notifier.deliveries.progress import Progress, progress_of
from notifier.public_notice.service import PublicNoticeEntry
from notifier.templates import CheckAt
from playbooks.law.delays import DelayRequest
from projections.coverage.coverage import CampaignCoverage, campaigns_of
from projections.deadlines.deadlines import Deadline, deadlines
from projections.recovery.recovery import PHASES, RecoveryStatus, recovery_of
from projections.tasks.tasks import Task, tasks
from projections.timeline.timeline import StepTitles, TimelineEntry, timeline
from tocsin.console.board_page import pressing
from tocsin.owners import Owners, with_owners
from tocsin.parts_filed import with_parts
from tocsin.services import Services
from tocsin.steps_named import steps_named

TIMELINE_ROWS = 40
_SETTLED = frozenset({"settled", "late"})
_GOING_OUT = frozenset({"sending", "paused", "cancelled"})
_UNDECIDED = frozenset({"drafted", "approval_requested", "rejected"})


@dataclass(frozen=True, slots=True)
class FactShown:
    """One fact; `own`: stated for this incident, not told by the lifecycle or the profile."""

    name: str
    value: Any
    own: bool


@dataclass(frozen=True, slots=True)
class FactGroup:
    """Facts under one heading."""

    labels: dict[str, str]
    facts: tuple[FactShown, ...]


@dataclass(frozen=True, slots=True)
class PhaseShown:
    """One phase of the lifecycle; `at` is None while it is not reached."""

    phase: str
    at: datetime | None
    present: bool


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """Everything on the page."""

    incident: Incident
    reference: str
    merged_into: str | None
    phases: tuple[PhaseShown, ...]
    recovery: RecoveryStatus | None
    facts: tuple[FactGroup, ...]
    recipients: Mapping[str, Mapping[str, str]]
    """Names of recipients, by duty."""
    open_duties: tuple[Deadline, ...]
    settled_duties: tuple[Deadline, ...]
    lifted_duties: tuple[Deadline, ...]
    """Those that the facts no longer trigger; often many, since unknown facts leave much possible."""
    owners: Mapping[str, str]
    """Who may own duties: id to name."""
    delays: tuple[DelayRequest, ...]
    delayable: bool
    """Whether the law lets an open duty wait for anybody."""
    unacknowledged: frozenset[str]
    """Duties with a warning that nobody has acknowledged."""
    once: UUID
    """Makes the commands of this page's forms have one effect each."""
    tasks: tuple[Task, ...]
    campaigns: tuple[CampaignCoverage, ...]
    checks: Mapping[UUID, CheckAt]
    """By campaign, the code and page by which people can check its notices; drills have none."""
    forecasts: Mapping[UUID, Forecast]
    """Of campaigns that are not approved yet and can be forecast."""
    progress: Mapping[UUID, Progress]
    """Of campaigns that are going out."""
    public_notices: tuple[PublicNoticeEntry, ...]
    """Suggested, drafted and published."""
    entries: tuple[TimelineEntry, ...]
    steps: StepTitles
    """Titles of the steps that the entries speak of."""
    more_entries: str | None


def gather(services: Services, incident_id: UUID, now: datetime, *, cursor: str | None) -> IncidentPage:
    """The page's content. NotFound when there is no such incident."""
    engine = services.engine
    incident = services.record.load(Incident, incident_id)
    settings = services.settings.warnings
    found = deadlines(engine, now=now, incident_id=incident_id, include="all", limit=500)
    duties = with_parts(with_owners(found, settings), services.duties, incident_id).items
    register = services.duties.register(incident_id)
    campaigns = campaigns_of(engine, incident_id)
    story = timeline(engine, incident_id, newest_first=True, minor=False, limit=TIMELINE_ROWS, cursor=cursor)
    return IncidentPage(
        incident=incident,
        reference=reference_of(incident_id),
        merged_into=reference_of(incident.merged_into) if incident.merged_into else None,
        phases=_phases(incident),
        recovery=_recovery(services, incident_id),
        facts=_facts(services, incident),
        recipients={duty.duty_id: duty.recipient_names for duty in duties},
        open_duties=tuple(sorted((duty for duty in duties if duty.colour not in _SETTLED), key=pressing)),
        settled_duties=tuple(duty for duty in duties if duty.colour in _SETTLED and duty.status != "lifted"),
        lifted_duties=tuple(duty for duty in duties if duty.status == "lifted"),
        owners=Owners(settings).known(),
        delays=services.duties.delays(incident_id),
        delayable=any(duty.delayable_by for duty in duties if duty.colour not in _SETTLED),
        unacknowledged=frozenset(name for name, one in register.duties.items() if one.wants_acknowledgement),
        once=uuid4(),
        tasks=tasks(engine, incident_id=incident_id, limit=50).items,
        campaigns=campaigns,
        checks={
            one.campaign_id: services.notifier.public.check_of(one.campaign_id)
            for one in campaigns
            if services.notifier.public is not None and not one.drill
        },
        forecasts=_forecasts(services, campaigns),
        progress=_progress(services, campaigns, now),
        public_notices=services.notifier.to_public.of_incident(incident_id)
        if services.notifier.to_public is not None
        else (),
        entries=story.items,
        steps=steps_named(services, story.items),
        more_entries=story.next_cursor,
    )


def _forecasts(services: Services, campaigns: Sequence[CampaignCoverage]) -> dict[UUID, Forecast]:
    found: dict[UUID, Forecast] = {}
    for one in campaigns:
        if one.state in _UNDECIDED:
            # A draft without an audience, or with values still missing, has none yet.
            with suppress(IllegalTransition, InvalidInput):
                found[one.campaign_id] = services.campaigns.forecast(one.campaign_id, services.clock.now())
    return found


def _progress(services: Services, campaigns: Sequence[CampaignCoverage], now: datetime) -> dict[UUID, Progress]:
    found: dict[UUID, Progress] = {}
    for one in campaigns:
        if one.state in _GOING_OUT:
            going = progress_of(services.engine, one.campaign_id, now, one.outcomes.planned)
            if going is not None:
                found[one.campaign_id] = going
    return found


def _phases(incident: Incident) -> tuple[PhaseShown, ...]:
    times = {phase.value: at for phase, at in incident.phase_times.items()}
    return tuple(PhaseShown(phase, times.get(phase), incident.phase.value == phase) for phase in PHASES)


def _recovery(services: Services, incident_id: UUID) -> RecoveryStatus | None:
    try:
        return recovery_of(services.engine, incident_id)
    except NotFound:
        return None  # the read model has not seen it yet


def _facts(services: Services, incident: Incident) -> tuple[FactGroup, ...]:
    known = known_facts(incident, services.profile).known()
    words = vocabulary()
    groups = []
    for group in words.groups:
        names = [spec.name for spec in words if spec.group == group.id and spec.name in known]
        if names:
            shown = tuple(FactShown(name, known[name], name in incident.facts) for name in names)
            groups.append(FactGroup({"en": group.en, "zh": group.zh}, shown))
    return tuple(groups)
