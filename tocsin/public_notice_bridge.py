"""Where public notices meet campaigns, duties and runs: what cannot be reached calls for one, a published one fulfils
duties. Nothing is published from here: a second person does that."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import structlog

from incidents.clock import Clock
from incidents.errors import NotFound
from incidents.record import Context, Event, Follower, Record, stable_id
from notifier.campaigns.campaign import Campaign, Demand
from notifier.campaigns.events import CampaignFinished
from notifier.public_notice.events import PublicNoticePublished
from notifier.public_notice.notice import NoticeToPublic
from notifier.public_notice.service import NoticesToPublic
from notifier.public_notice.substitute import SubstituteRule, rules_that_hold, unreached_of
from playbooks.directory.places import role_of
from playbooks.duties.service import DutyService
from playbooks.law.law import Law
from playbooks.runs.events import StepStarted
from playbooks.runs.run import Run
from playbooks.runs.service import RunService
from tocsin.bridge import Bridge
from tocsin.bridges import campaign_of_step

log = structlog.get_logger(__name__)

FULFILLED_BY = "public notice"
_PUBLIC_ROLE = ".public"


def public_demand_of(duties: DutyService, incident_id: UUID) -> Demand:
    """What the law wants of a public notice about an incident now. It fulfils duties to the public at large, not those
    to the media of a place; what single people must be told is in it too, for it may take their notices' place."""
    due = [
        state.duty
        for state in duties.register(incident_id).open_duties(recipient_kinds=("public", "individuals")).values()
        if state.duty.status == "due"
    ]
    to_public = [duty for duty in due if role_of(duty.duty_id).endswith(_PUBLIC_ROLE)]
    return Demand(
        duties=tuple(sorted(duty.duty_id for duty in to_public)),
        items=tuple(sorted({item for duty in due for item in duty.contents})),
    )


class PublicNoticeBridge(Bridge):
    """Follows finished campaigns and published notices."""

    def __init__(
        self,
        record: Record,
        *,
        notices: NoticesToPublic,
        duties: DutyService,
        runs: RunService,
        law: Callable[[], Law],
        clock: Clock,
        own_share: float,
    ) -> None:
        """`own_share`: the organisation's own share of people who cannot be reached, where no law has a number; 0: such
        a campaign suggests nothing."""
        super().__init__(record, clock)
        self._notices = notices
        self._duties = duties
        self._runs = runs
        self._law = law
        self._own_share = own_share

    def follower(self) -> Follower:
        """The follower that drives it."""
        kinds = (CampaignFinished.kind, PublicNoticePublished.kind, StepStarted.kind)
        return Follower(self._record, "public-notice-bridge", self, kinds=kinds)

    def _act(self, event: Event, context: Context) -> None:
        if isinstance(event, CampaignFinished):
            self._suggest(event, context)
        elif isinstance(event, StepStarted):
            if event.step_kind == "public_notice":
                self._draft(event, context)
        elif isinstance(event, PublicNoticePublished):
            notice = self._record.load(NoticeToPublic, event.originator_id)
            if notice.run_id is not None and notice.step is not None:
                self._runs.public_notice_published(notice.run_id, notice.step, context)
            if not event.drill:
                self._fulfil(event.incident_id, event.duties, event.happened_at, FULFILLED_BY, context)

    def _draft(self, event: StepStarted, context: Context) -> None:
        """Open a draft with the words of the notice that the step belongs to. Once, however often the step opens."""
        run_id = event.originator_id
        notice_id = stable_id("public-notice", str(run_id), event.step)
        if self._record.find(NoticeToPublic, notice_id) is not None:
            return
        campaign_id = campaign_of_step(self._record, run_id, event.details["of"])
        if campaign_id is None:
            raise NotFound(f"Step {event.step} has no notice whose words it could take.")
        self._notices.draft(
            context,
            incident_id=event.incident_id,
            campaign_id=campaign_id,
            notice_id=notice_id,
            run_id=run_id,
            step=event.step,
            drill=self._record.load(Run, run_id).drill,
        )

    def _suggest(self, event: CampaignFinished, context: Context) -> None:
        campaign = self._record.load(Campaign, event.originator_id)
        unreached = unreached_of(event.outcomes)
        if campaign.drill or not campaign.duties:
            return
        rules = rules_that_hold(self._rules_of(campaign), campaign.recipients, unreached)
        own = self._own_share and unreached and unreached >= self._own_share * campaign.recipients
        if not rules and not own:
            return
        log.warning("public-notice.suggested", campaign=str(campaign.id), unreached=unreached, rules=list(rules))
        self._notices.suggest(context, campaign.id, recipients=campaign.recipients, unreached=unreached, rules=rules)

    def _rules_of(self, campaign: Campaign) -> tuple[SubstituteRule, ...]:
        register, law = self._duties.register(campaign.incident_id), self._law()
        found = []
        for duty_id in campaign.duties:
            state = register.duties.get(duty_id)
            known = law.rule(state.duty.rule) if state is not None else None
            substitute = known[1].substitute if known is not None else None
            if known is not None and substitute is not None:
                found.append(
                    SubstituteRule(
                        known[1].id,
                        unreached=substitute.unreached,
                        unreached_share=substitute.unreached_share,
                        affected_over=substitute.affected_over,
                    )
                )
        return tuple(found)
