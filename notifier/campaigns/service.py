"""Commands on campaigns: load, decide, save. A command repeated with the same cause has one effect and one answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from incidents.errors import IllegalTransition, InvalidInput
from incidents.record import Context, Model, Record, retrying, stable_id
from notifier.audience import Audiences
from notifier.campaigns.campaign import BEGUN, Campaign, CampaignStatus, Demand
from notifier.campaigns.events import DeliveryPolicy
from notifier.campaigns.forecast import Forecast, Tariff, forecast, judged
from notifier.deliveries.order import ChannelOrder
from notifier.templates import (
    CheckAt,
    RenderedEmail,
    RenderedSms,
    Template,
    Templates,
    is_text,
    missing_items,
    text_digest,
)

_DECIDED = frozenset({CampaignStatus.APPROVED, *BEGUN})

SAMPLE_REFERENCE = "00000-00000"
"""Stands in previews where each person's own reference will be."""

SAMPLE_NAMES = {"en": "Alex Morgan", "zh-Hans": "张晓明", "zh-Hant": "陳大文", "vi": "Nguyễn Văn An"}
"""Invented names for previews, which never show a real recipient."""


class CampaignView(Model):
    """A campaign as commands and queries answer it."""

    campaign_id: UUID
    version: int
    status: CampaignStatus
    incident_id: UUID
    run_id: UUID | None
    step: str | None
    template: str
    template_version: str
    values: dict[str, Any]
    duties: tuple[str, ...]
    required_items: tuple[str, ...]
    missing_items: tuple[str, ...]
    """Required content that the text as it stands lacks."""
    policy: DeliveryPolicy
    drill: bool
    audience_id: UUID | None
    recipients: int
    languages: tuple[str, ...]
    by_channel: dict[str, int]
    text_digest: str
    """Of the text as it stands; give it back to approve it."""
    audience_digest: str
    requested_by: str | None
    approved_by: str | None
    override_reason: str | None
    rejection: str | None
    pause_reason: str | None
    """Why it stands still; None while it does not."""
    cancellation_reason: str | None
    suppression_override: str | None
    """Why it goes to those too who opted out or complained; None: they are left out."""
    outcomes: dict[str, int]


class Preview(Model):
    """The notice in one language, as an invented person would get it."""

    language: str
    sms: RenderedSms
    email: RenderedEmail


class CampaignService:
    """The application service. Synchronous; each method is one transaction on the record."""

    def __init__(
        self,
        record: Record,
        audiences: Audiences,
        templates: Templates,
        demand: Callable[[UUID], Demand] = lambda _incident_id: Demand(),
        check: Callable[[UUID], CheckAt | None] = lambda _campaign_id: None,
        tariff: Tariff = Tariff(),
        control: Callable[[Campaign], object] = lambda _campaign: None,
        deadline: Callable[[Campaign], datetime | None] = lambda _campaign: None,
        order: ChannelOrder = ChannelOrder(),
    ) -> None:
        """`demand` tells what the law wants of a notice about an incident now; it is asked when approval is. `check`
        tells the code and address by which a campaign's notices can be checked, `tariff` what sending costs. `control`
        tells the workers at once that a campaign was paused, resumed or cancelled; `deadline` by when the law wants
        its people told, `order` which channel is tried first."""
        self._record = record
        self._check = check
        self._demand = demand
        self._tariff = tariff
        self._control = control
        self._deadline = deadline
        self._order = order
        self._audiences = audiences
        self._templates = templates

    def draft(
        self,
        context: Context,
        *,
        incident_id: UUID,
        template: str,
        values: Mapping[str, Any],
        required_items: Sequence[str] = (),
        duties: Sequence[str] = (),
        run_id: UUID | None = None,
        step: str | None = None,
        drill: bool = False,
        policy: DeliveryPolicy = "at_least_once",
    ) -> CampaignView:
        """Draft a campaign; its id follows from the command. Values may still be incomplete but not malformed."""
        campaign_id = stable_id("campaign", context.cause)
        words = self._templates.get(template)
        words.check_values(values)

        def command() -> Campaign:
            existing = self._record.find(Campaign, campaign_id)
            if existing is not None:
                return existing
            campaign = Campaign(campaign_id)
            campaign.draft(
                context,
                incident_id=incident_id,
                template=template,
                template_version=words.version,
                values=values,
                required_items=tuple(required_items),
                duties=tuple(duties),
                run_id=run_id,
                step=step,
                drill=drill,
                policy=policy,
            )
            self._record.commit(campaign)
            return campaign

        return self._view(retrying(command))

    def revise_text(self, context: Context, campaign_id: UUID, values: Mapping[str, Any]) -> CampaignView:
        """Replace the values; an approval is void."""

        def decide(campaign: Campaign) -> None:
            self._template(campaign).check_values(values)
            campaign.revise_text(context, values)

        return self._change(context, campaign_id, decide)

    def attach_audience(self, context: Context, campaign_id: UUID, audience_id: UUID) -> CampaignView:
        """Choose an imported audience; an approval is void."""
        audience = self._audiences.get(audience_id)

        def decide(campaign: Campaign) -> None:
            campaign.attach_audience(
                context,
                audience_id=audience.audience_id,
                recipients=audience.recipients,
                by_language=audience.by_language,
                by_channel=audience.by_channel,
                audience_digest=audience.digest,
            )

        return self._change(context, campaign_id, decide)

    def request_approval(self, context: Context, campaign_id: UUID) -> CampaignView:
        """Ask a second person. InvalidInput when an essential value is missing or a text message gets too long."""

        def decide(campaign: Campaign) -> None:
            words = self._template(campaign)
            lacking = words.missing_essentials(campaign.values, campaign.languages)
            if not lacking:
                for language in campaign.languages:
                    words.render_sms(language, campaign.values, SAMPLE_REFERENCE, self._check(campaign_id))
            campaign.request_approval(
                context,
                text_digest=self._digest(campaign),
                missing_essentials=lacking,
                demand=self._demand_of(campaign),
            )

        return self._change(context, campaign_id, decide)

    def approve(
        self,
        context: Context,
        campaign_id: UUID,
        *,
        text_digest: str,
        audience_digest: str,
        override_reason: str | None = None,
    ) -> CampaignView:
        """Approve exactly the digests that approval was asked for (see `Campaign.approve` for refusals)."""

        def decide(campaign: Campaign) -> None:
            demand = self._demand_of(campaign)
            campaign.approve(
                context,
                text_digest=text_digest,
                audience_digest=audience_digest,
                current_text_digest=self._digest(campaign),
                missing_items=self._missing(campaign, demand),
                demand=demand,
                override_reason=override_reason,
            )

        return self._change(context, campaign_id, decide)

    def reject(self, context: Context, campaign_id: UUID, *, reason: str) -> CampaignView:
        """Refuse approval, or take it back before the start."""
        return self._change(context, campaign_id, lambda campaign: campaign.reject(context, reason=reason))

    def start(self, context: Context, campaign_id: UUID) -> CampaignView:
        """Begin sending an approved campaign."""
        return self._change(
            context,
            campaign_id,
            lambda campaign: campaign.start(context, current_text_digest=self._digest(campaign)),
        )

    def pause(self, context: Context, campaign_id: UUID, *, reason: str) -> CampaignView:
        """Stop sending, until it is resumed."""
        return self._steer(context, campaign_id, lambda campaign: campaign.pause(context, reason=reason))

    def resume(self, context: Context, campaign_id: UUID, *, reason: str) -> CampaignView:
        """Go on with a paused sending."""
        return self._steer(context, campaign_id, lambda campaign: campaign.resume(context, reason=reason))

    def cancel(self, context: Context, campaign_id: UUID, *, reason: str) -> CampaignView:
        """Call a sending off for good."""
        return self._steer(context, campaign_id, lambda campaign: campaign.cancel(context, reason=reason))

    def _steer(self, context: Context, campaign_id: UUID, decide: Callable[[Campaign], None]) -> CampaignView:
        view = self._change(context, campaign_id, decide)
        # The event is what counts, and a follower carries it to the workers too, should we die just here.
        self._control(self._record.load(Campaign, campaign_id))
        return view

    def override_suppression(self, context: Context, campaign_id: UUID, *, reason: str) -> CampaignView:
        """Let a notice that the law demands go to those too who opted out or complained."""
        return self._change(
            context, campaign_id, lambda campaign: campaign.override_suppression(context, reason=reason)
        )

    def view(self, campaign_id: UUID) -> CampaignView:
        """The campaign as it stands. NotFound when there is none."""
        return self._view(self._record.load(Campaign, campaign_id))

    def preview(self, campaign_id: UUID, language: str) -> Preview:
        """The notice in one language, to an invented person."""
        campaign = self._record.load(Campaign, campaign_id)
        return self.preview_values(campaign.template, campaign.values, language, self._check(campaign_id))

    def preview_values(
        self, template: str, values: Mapping[str, Any], language: str, check: CheckAt | None = None
    ) -> Preview:
        """The same before anything is drafted. InvalidInput names essential values still missing."""
        words = self._templates.get(template)
        words.check_values(values)
        if language not in words.languages:
            raise InvalidInput(f"The template has {', '.join(words.languages)}.", field="language")
        if lacking := words.missing_essentials(values, [language]):
            raise InvalidInput(f"These values are missing: {', '.join(lacking)}.", field="values")
        return Preview(
            language=language,
            sms=words.render_sms(language, values, SAMPLE_REFERENCE, check),
            email=words.render_email(
                language, values, SAMPLE_NAMES.get(language, "Alex Morgan"), SAMPLE_REFERENCE, check
            ),
        )

    def forecast(self, campaign_id: UUID, now: datetime | None = None) -> Forecast:
        """What sending it will take, from the text and the audience as they stand, and with `now` whether that is in
        time. IllegalTransition without an audience; InvalidInput names essential values still missing."""
        campaign = self._record.load(Campaign, campaign_id)
        if campaign.audience_id is None:
            raise IllegalTransition("Attach an audience first: its size decides.", field="audience_id")
        words = self._template(campaign)
        if lacking := words.missing_essentials(campaign.values, campaign.languages):
            raise InvalidInput(f"These values are missing: {', '.join(lacking)}.", field="values")
        check = self._check(campaign_id)
        texts = {name: words.render_sms(name, campaign.values, SAMPLE_REFERENCE, check) for name in campaign.languages}
        each = {name: text.segments for name, text in texts.items()}
        people = self._audiences.reach(campaign.audience_id)
        found = forecast(self._tariff, each, people, self._order)
        if now is None:
            return found
        deadline = self._deadline(campaign)
        return judged(found, self._tariff, each, people, self._order, now=now, deadline=deadline)

    def _change(self, context: Context, campaign_id: UUID, decide: Callable[[Campaign], None]) -> CampaignView:
        def command() -> Campaign:
            campaign = self._record.load(Campaign, campaign_id)
            if not campaign.has_done(context):
                decide(campaign)
                self._record.commit(campaign)
            return campaign

        return self._view(retrying(command))

    def _template(self, campaign: Campaign) -> Template:
        words = self._templates.get(campaign.template)
        if words.version != campaign.template_version:
            raise IllegalTransition(
                f"The campaign was drafted with version {campaign.template_version} of its template; "
                f"this is version {words.version}. Draft it anew."
            )
        return words

    def _digest(self, campaign: Campaign) -> str:
        """Of the text as it stands: the one that approval was asked for, as long as its words are the same."""
        words, asked = self._templates.get(campaign.template), campaign.requested_digests
        if asked is not None and is_text(words, campaign.values, campaign.languages, asked[0]):
            return asked[0]
        return text_digest(words, campaign.values, campaign.languages)

    def _demand_of(self, campaign: Campaign) -> Demand:
        """A drill is sent for no duty, but shows what a real notice would have to say."""
        demand = self._demand(campaign.incident_id)
        return Demand(items=demand.items) if campaign.drill else demand

    def _missing(self, campaign: Campaign, demand: Demand | None = None) -> tuple[str, ...]:
        words = self._templates.get(campaign.template)
        required = sorted({*campaign.required_items, *(demand.items if demand else ())})
        return missing_items(words, campaign.values, required, campaign.languages or None)

    def _view(self, campaign: Campaign) -> CampaignView:
        return CampaignView(
            campaign_id=campaign.id,
            version=campaign.version,
            status=campaign.status,
            incident_id=campaign.incident_id,
            run_id=campaign.run_id,
            step=campaign.step,
            template=campaign.template,
            template_version=campaign.template_version,
            values=campaign.values,
            duties=campaign.duties,
            required_items=campaign.required_items,
            missing_items=self._missing(campaign, None if campaign.status in _DECIDED else self._demand_of(campaign)),
            policy=campaign.policy,
            drill=campaign.drill,
            audience_id=campaign.audience_id,
            recipients=campaign.recipients,
            languages=campaign.languages,
            by_channel=campaign.by_channel,
            text_digest=self._digest(campaign),
            audience_digest=campaign.audience_digest,
            requested_by=campaign.requested_by,
            approved_by=campaign.approved_by,
            override_reason=campaign.override_reason,
            rejection=campaign.rejection,
            pause_reason=campaign.pause_reason,
            cancellation_reason=campaign.cancellation_reason,
            suppression_override=campaign.suppression_override,
            outcomes=campaign.outcomes,
        )
