"""The campaign: a notice drafted, approved by a second person, sent, and finished. Pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from incidents.errors import Conflict, FieldFault, Forbidden, IllegalTransition, InvalidInput
from incidents.record import Aggregate, Context, folds
from notifier.campaigns.events import (
    ApprovalRequested,
    AudienceAttached,
    CampaignApproved,
    CampaignCancelled,
    CampaignDrafted,
    CampaignFinished,
    CampaignPaused,
    CampaignRejected,
    CampaignResumed,
    CampaignStarted,
    CampaignTextRevised,
    DeliveryPolicy,
    SuppressionOverridden,
)
from notifier.decisions import must_be_person, tidy_reason


@dataclass(frozen=True, slots=True)
class Demand:
    """What the law wants of a notice to people about an incident at this moment: the duties that are due, and the
    content items they demand. Whoever drafts can add to it, nobody can take away."""

    duties: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


class CampaignStatus(StrEnum):
    """Where a campaign stands."""

    DRAFT = "draft"
    """Text and audience may change."""
    AWAITING_APPROVAL = "awaiting_approval"
    """A second person is asked to approve exactly this text and audience."""
    APPROVED = "approved"
    """May start. Changing text or audience makes it a draft again."""
    REJECTED = "rejected"
    """The second person said no. Changing text or audience makes it a draft again."""
    STARTED = "started"
    """Going out; nothing can change any more."""
    PAUSED = "paused"
    """Started, and stopped by a person until somebody resumes it."""
    CANCELLED = "cancelled"
    """Called off by a person for good; what was on the wire by then is still being settled."""
    FINISHED = "finished"
    """Nobody is left to try."""


BEGUN = frozenset({CampaignStatus.STARTED, CampaignStatus.PAUSED, CampaignStatus.CANCELLED, CampaignStatus.FINISHED})
"""From the start on nothing of a campaign can change."""


class Campaign(Aggregate):
    """One notice to one audience."""

    def __init__(self, aggregate_id: UUID) -> None:
        super().__init__(aggregate_id)
        self.status = CampaignStatus.DRAFT
        self.incident_id: UUID
        self.run_id: UUID | None = None
        self.step: str | None = None
        self.template = ""
        self.template_version = ""
        self.values: dict[str, Any] = {}
        self.duties: tuple[str, ...] = ()
        self.required_items: tuple[str, ...] = ()
        self.policy: DeliveryPolicy = "at_least_once"
        self.drill = False
        self.audience_id: UUID | None = None
        self.audience_digest = ""
        self.recipients = 0
        self.languages: tuple[str, ...] = ()
        self.by_channel: dict[str, int] = {}
        self.authors: set[str] = set()
        """Everybody who wrote or changed text or audience: none of them may approve."""
        self.requested_by: str | None = None
        self.requested_digests: tuple[str, str] | None = None
        self.approved_by: str | None = None
        self.missing_items: tuple[str, ...] = ()
        self.override_reason: str | None = None
        self.rejection: str | None = None
        self.suppression_override: str | None = None
        self.started_reference: str | None = None
        self.pause_reason: str | None = None
        self.cancellation_reason: str | None = None
        self.outcomes: dict[str, int] = {}

    def draft(
        self,
        context: Context,
        *,
        incident_id: UUID,
        template: str,
        template_version: str,
        values: Mapping[str, Any],
        required_items: tuple[str, ...] = (),
        duties: tuple[str, ...] = (),
        run_id: UUID | None = None,
        step: str | None = None,
        drill: bool = False,
        policy: DeliveryPolicy = "at_least_once",
    ) -> None:
        """Begin the campaign."""
        if self.version:
            raise IllegalTransition("This campaign was drafted before.", field="campaign_id")
        self.emit(
            CampaignDrafted,
            context,
            incident_id=incident_id,
            run_id=run_id,
            step=step,
            template=template,
            template_version=template_version,
            values=dict(values),
            duties=duties,
            drill=drill,
            required_items=required_items,
            policy=policy,
        )

    def revise_text(self, context: Context, values: Mapping[str, Any]) -> None:
        """Replace the values. An approval asked for or given before is void."""
        self._must_be_changeable("the text")
        self.emit(CampaignTextRevised, context, incident_id=self.incident_id, values=dict(values))

    def attach_audience(
        self,
        context: Context,
        *,
        audience_id: UUID,
        recipients: int,
        by_language: Mapping[str, int],
        by_channel: Mapping[str, int],
        audience_digest: str,
    ) -> None:
        """Choose whom to tell. An approval asked for or given before is void."""
        self._must_be_changeable("the audience")
        self.emit(
            AudienceAttached,
            context,
            incident_id=self.incident_id,
            audience_id=audience_id,
            recipients=recipients,
            by_language=dict(by_language),
            by_channel=dict(by_channel),
            audience_digest=audience_digest,
        )

    def request_approval(
        self, context: Context, *, text_digest: str, missing_essentials: tuple[str, ...], demand: Demand
    ) -> None:
        """Ask a second person. The notice must make sense (essential values) and have an audience."""
        if self.status not in {CampaignStatus.DRAFT, CampaignStatus.REJECTED}:
            raise IllegalTransition(f"Approval cannot be asked for: the campaign is {self.status.value}.")
        if self.audience_id is None:
            raise IllegalTransition("Attach an audience before asking for approval.", field="audience_id")
        if missing_essentials:
            raise InvalidInput(
                "The notice lacks values it cannot do without. Revise the text.",
                errors=[FieldFault(f"values.{name}", "is missing") for name in missing_essentials],
            )
        self.emit(
            ApprovalRequested,
            context,
            incident_id=self.incident_id,
            text_digest=text_digest,
            audience_digest=self.audience_digest,
            required_items=demand.items,
            duties=demand.duties,
        )

    def approve(
        self,
        context: Context,
        *,
        text_digest: str,
        audience_digest: str,
        current_text_digest: str,
        missing_items: tuple[str, ...],
        demand: Demand,
        override_reason: str | None = None,
    ) -> None:
        """Approve exactly what was asked for.

        Forbidden for anybody who wrote it and for machines; Conflict when the digests are not those of the request
        or the template files changed since; InvalidInput when the notice lacks what the law demands and no reason
        for overriding is given.
        """
        if self.status is not CampaignStatus.AWAITING_APPROVAL or self.requested_digests is None:
            raise IllegalTransition(f"There is nothing to approve: the campaign is {self.status.value}.")
        self._must_be_second_person(context, "approve")
        given, current = (text_digest, audience_digest), (current_text_digest, self.audience_digest)
        if given != self.requested_digests or current != self.requested_digests:
            raise Conflict(
                "The text or the audience is not the one that approval was asked for. Look at it again.",
                field="text_digest" if text_digest != self.requested_digests[0] else "audience_digest",
            )
        reason = tidy_reason(override_reason, "override_reason") if override_reason else None
        if missing_items and reason is None:
            raise InvalidInput(
                "The notice lacks content that the law demands. Revise it, or approve with a reason for overriding.",
                errors=[FieldFault("required_items", f"{item}: not in the notice") for item in missing_items],
            )
        self.emit(
            CampaignApproved,
            context,
            incident_id=self.incident_id,
            text_digest=text_digest,
            audience_digest=audience_digest,
            missing_items=missing_items,
            override_reason=reason if missing_items else None,
            required_items=demand.items,
            duties=demand.duties,
        )

    def reject(self, context: Context, *, reason: str) -> None:
        """Say no, with a reason the author can work with. An approval given can be taken back until the start."""
        if self.status not in {CampaignStatus.AWAITING_APPROVAL, CampaignStatus.APPROVED}:
            raise IllegalTransition(f"There is nothing to reject: the campaign is {self.status.value}.")
        self.emit(CampaignRejected, context, incident_id=self.incident_id, reason=tidy_reason(reason))

    def start(self, context: Context, *, current_text_digest: str) -> None:
        """Begin sending. Only what was approved, word for word."""
        if self.status is not CampaignStatus.APPROVED or self.requested_digests is None:
            raise IllegalTransition(f"Only an approved campaign can start; this one is {self.status.value}.")
        if current_text_digest != self.requested_digests[0]:
            raise IllegalTransition("The template's words changed since the approval. Ask for approval again.")
        self.emit(CampaignStarted, context, incident_id=self.incident_id, recipients=self.recipients)

    def pause(self, context: Context, *, reason: str) -> None:
        """Stop the sending until somebody resumes it."""
        if self.status is not CampaignStatus.STARTED:
            raise IllegalTransition(f"Only a campaign that is being sent can be paused; this one is {self._standing}.")
        must_be_person(context, "pause a campaign")
        self.emit(CampaignPaused, context, incident_id=self.incident_id, reason=tidy_reason(reason))

    def resume(self, context: Context, *, reason: str) -> None:
        """Let a paused sending go on."""
        if self.status is not CampaignStatus.PAUSED:
            raise IllegalTransition(f"Only a paused campaign can be resumed; this one is {self._standing}.")
        must_be_person(context, "resume a campaign")
        self.emit(CampaignResumed, context, incident_id=self.incident_id, reason=tidy_reason(reason))

    def cancel(self, context: Context, *, reason: str) -> None:
        """Call the sending off for good."""
        if self.status not in {CampaignStatus.STARTED, CampaignStatus.PAUSED}:
            raise IllegalTransition(
                f"Only a campaign that was started can be cancelled; this one is {self._standing}. "
                "Before the start, reject it."
            )
        must_be_person(context, "cancel a campaign")
        self.emit(CampaignCancelled, context, incident_id=self.incident_id, reason=tidy_reason(reason))

    @property
    def _standing(self) -> str:
        return self.status.value.replace("_", " ")

    def override_suppression(self, context: Context, *, reason: str) -> None:
        """Send to those too who opted out or complained: only a notice that the law demands, only before it starts,
        only by a person, with a reason. Addresses that do not exist stay left out."""
        if self.status in BEGUN:
            raise IllegalTransition(f"The campaign is {self.status.value}: this has to be decided before it starts.")
        must_be_person(context, "override a suppression")
        if not self.duties:
            raise IllegalTransition("No duty demands this notice: whoever opted out is not written to.", field="duties")
        self.emit(SuppressionOverridden, context, incident_id=self.incident_id, reason=tidy_reason(reason))

    def finish(self, context: Context, outcomes: Mapping[str, int]) -> None:
        """Nobody is left to try. Without effect when it is finished already."""
        if self.status is CampaignStatus.FINISHED:
            return
        if self.status not in BEGUN:
            raise IllegalTransition(f"Only a started campaign can finish; this one is {self.status.value}.")
        self.emit(CampaignFinished, context, incident_id=self.incident_id, outcomes=dict(outcomes))

    def _must_be_changeable(self, what: str) -> None:
        if not self.version:
            raise IllegalTransition("The campaign was never drafted.")
        if self.status in BEGUN:
            raise IllegalTransition(f"The campaign is {self.status.value}: {what} cannot change any more.")

    def _must_be_second_person(self, context: Context, verb: str) -> None:
        must_be_person(context, f"{verb} a campaign")
        if context.actor in self.authors or context.actor == self.requested_by:
            raise Forbidden(f"Whoever wrote the notice or chose its audience may not {verb} it: ask a second person.")

    @folds(CampaignDrafted)
    def _drafted(self, event: CampaignDrafted) -> None:
        self.incident_id, self.run_id, self.step = event.incident_id, event.run_id, event.step
        self.template, self.template_version, self.values = event.template, event.template_version, event.values
        self.duties, self.required_items = event.duties, event.required_items
        self.drill, self.policy = event.drill, event.policy
        self.authors.add(event.actor)

    @folds(CampaignTextRevised)
    def _text_revised(self, event: CampaignTextRevised) -> None:
        self.values = event.values
        self._back_to_draft(event.actor)

    @folds(AudienceAttached)
    def _audience_attached(self, event: AudienceAttached) -> None:
        self.audience_id, self.audience_digest = event.audience_id, event.audience_digest
        self.recipients, self.by_channel = event.recipients, event.by_channel
        self.languages = tuple(sorted(event.by_language))
        self._back_to_draft(event.actor)

    def _back_to_draft(self, actor: str) -> None:
        self.authors.add(actor)
        self.status = CampaignStatus.DRAFT
        self.requested_by = self.requested_digests = self.approved_by = None
        self.missing_items, self.override_reason, self.rejection = (), None, None

    @folds(ApprovalRequested)
    def _approval_requested(self, event: ApprovalRequested) -> None:
        self.status = CampaignStatus.AWAITING_APPROVAL
        self.requested_by = event.actor
        self.requested_digests = (event.text_digest, event.audience_digest)
        self.rejection = None
        self._demanded(event)

    def _demanded(self, event: ApprovalRequested | CampaignApproved) -> None:
        self.required_items = tuple(sorted({*self.required_items, *event.required_items}))
        self.duties = tuple(sorted({*self.duties, *event.duties}))

    @folds(CampaignApproved)
    def _approved(self, event: CampaignApproved) -> None:
        self.status = CampaignStatus.APPROVED
        self.approved_by = event.actor
        self.missing_items, self.override_reason = event.missing_items, event.override_reason
        self._demanded(event)

    @folds(CampaignRejected)
    def _rejected(self, event: CampaignRejected) -> None:
        self.status = CampaignStatus.REJECTED
        self.approved_by, self.rejection = None, event.reason

    @folds(CampaignStarted)
    def _started(self, event: CampaignStarted) -> None:
        self.status = CampaignStatus.STARTED
        self.started_reference = event.reference

    @folds(CampaignPaused)
    def _paused(self, event: CampaignPaused) -> None:
        self.status, self.pause_reason = CampaignStatus.PAUSED, event.reason

    @folds(CampaignResumed)
    def _resumed(self, _event: CampaignResumed) -> None:
        self.status, self.pause_reason = CampaignStatus.STARTED, None

    @folds(CampaignCancelled)
    def _cancelled(self, event: CampaignCancelled) -> None:
        self.status, self.cancellation_reason = CampaignStatus.CANCELLED, event.reason

    @folds(SuppressionOverridden)
    def _suppression_overridden(self, event: SuppressionOverridden) -> None:
        self.suppression_override = event.reason

    @folds(CampaignFinished)
    def _finished(self, event: CampaignFinished) -> None:
        self.status = CampaignStatus.FINISHED
        self.outcomes = event.outcomes
