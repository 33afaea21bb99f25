"""The public notice: suggested or drafted, approved by a second person and so published, corrected by new versions.
Pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from incidents.errors import Conflict, FieldFault, Forbidden, IllegalTransition, InvalidInput
from incidents.privacy import refuse_contacts
from incidents.record import Aggregate, Context, folds
from notifier.decisions import must_be_person, tidy_reason
from notifier.public_notice.events import (
    PublicNoticeApprovalRequested,
    PublicNoticeDismissed,
    PublicNoticeDrafted,
    PublicNoticePublished,
    PublicNoticeRejected,
    PublicNoticeRevised,
    PublicNoticeSuggested,
    SaidInPublic,
)

MAX_CORRECTION = 600


class NoticeStatus(StrEnum):
    """Where a public notice stands. A published one has a draft of its next version while that is prepared."""

    SUGGESTED = "suggested"
    """Too many people cannot be reached: somebody has to decide whether everybody is told."""
    DISMISSED = "dismissed"
    DRAFT = "draft"
    AWAITING_APPROVAL = "awaiting_approval"
    REJECTED = "rejected"
    PUBLISHED = "published"


CHANGEABLE = frozenset(
    {NoticeStatus.DRAFT, NoticeStatus.AWAITING_APPROVAL, NoticeStatus.REJECTED, NoticeStatus.PUBLISHED}
)


class NoticeToPublic(Aggregate):
    """One public notice and its versions."""

    def __init__(self, aggregate_id: UUID) -> None:
        super().__init__(aggregate_id)
        self.status = NoticeStatus.DRAFT
        self.incident_id: UUID
        self.campaign_id: UUID | None = None
        self.run_id: UUID | None = None
        self.step: str | None = None
        self.unreached: int | None = None
        self.recipients: int | None = None
        self.rules: tuple[str, ...] = ()
        self.template = ""
        self.template_version = ""
        self.values: dict[str, Any] = {}
        self.correction: dict[str, str] = {}
        self.duties: tuple[str, ...] = ()
        self.required_items: tuple[str, ...] = ()
        self.drill = False
        self.authors: set[str] = set()
        self.requested_digest: str | None = None
        self.requested_languages: tuple[str, ...] = ()
        self.reason: str | None = None
        self.published: list[PublicNoticePublished] = []

    @property
    def is_drafted(self) -> bool:
        """Whether there are words yet."""
        return bool(self.template)

    def suggest(
        self,
        context: Context,
        *,
        incident_id: UUID,
        campaign_id: UUID,
        recipients: int,
        unreached: int,
        rules: tuple[str, ...],
    ) -> None:
        """Put it before a person that too many cannot be reached."""
        if self.version:
            raise IllegalTransition("This public notice is on record already.", field="notice_id")
        self.emit(
            PublicNoticeSuggested,
            context,
            incident_id=incident_id,
            campaign_id=campaign_id,
            recipients=recipients,
            unreached=unreached,
            rules=rules,
        )

    def dismiss(self, context: Context, *, reason: str) -> None:
        """Decide against a suggestion. Only a person."""
        must_be_person(context, "dismiss a public notice")
        if self.status is not NoticeStatus.SUGGESTED:
            raise IllegalTransition(f"Only a suggestion can be dismissed; this one is {self.status.value}.")
        self.emit(PublicNoticeDismissed, context, incident_id=self.incident_id, reason=tidy_reason(reason))

    def draft(
        self,
        context: Context,
        *,
        incident_id: UUID,
        template: str,
        template_version: str,
        values: Mapping[str, Any],
        duties: tuple[str, ...] = (),
        required_items: tuple[str, ...] = (),
        campaign_id: UUID | None = None,
        run_id: UUID | None = None,
        step: str | None = None,
        drill: bool = False,
    ) -> None:
        """Begin it, or take a suggestion up (a dismissed one too: people change their minds)."""
        if self.is_drafted:
            raise IllegalTransition("This public notice was drafted before: revise it.", field="notice_id")
        self.emit(
            PublicNoticeDrafted,
            context,
            incident_id=incident_id,
            campaign_id=campaign_id or self.campaign_id,
            run_id=run_id,
            step=step,
            template=template,
            template_version=template_version,
            values=dict(values),
            duties=duties,
            required_items=required_items,
            drill=drill,
        )

    def revise(self, context: Context, values: Mapping[str, Any], correction: Mapping[str, str]) -> None:
        """Replace the words of the version that is prepared. Once one is published, say what is corrected."""
        self._must_be_drafted()
        said = {language: text.strip() for language, text in correction.items() if text.strip()}
        for language, text in said.items():
            if len(text) > MAX_CORRECTION:
                raise InvalidInput(f"Say it in {MAX_CORRECTION} characters.", field=f"correction.{language}")
            refuse_contacts(text, f"correction.{language}")
        if self.published and not said:
            raise InvalidInput("Say what is corrected: everybody sees it in the history.", field="correction")
        self.emit(
            PublicNoticeRevised,
            context,
            incident_id=self.incident_id,
            values=dict(values),
            correction=said if self.published else {},
        )

    def request_approval(
        self,
        context: Context,
        *,
        text_digest: str,
        languages: tuple[str, ...],
        missing_essentials: tuple[str, ...],
        required_items: tuple[str, ...],
        duties: tuple[str, ...] = (),
    ) -> None:
        """Ask a second person to publish. It must make sense in one language at least. `duties`: those that are due
        now; a version tells them beside those it was drafted for."""
        self._must_be_drafted()
        if self.status not in {NoticeStatus.DRAFT, NoticeStatus.REJECTED}:
            raise IllegalTransition(f"Approval cannot be asked for: the public notice is {self.status.value}.")
        if not languages:
            raise InvalidInput(
                "The public notice makes sense in no language yet. Revise the text.",
                errors=[FieldFault(f"values.{name}", "is missing") for name in missing_essentials],
            )
        tells = () if self.drill else tuple(sorted({*self.duties, *duties}))
        self.emit(
            PublicNoticeApprovalRequested,
            context,
            incident_id=self.incident_id,
            text_digest=text_digest,
            languages=languages,
            required_items=required_items,
            duties=None if set(tells) == set(self.duties) else tells,
        )

    def publish(
        self,
        context: Context,
        *,
        text_digest: str,
        current_text_digest: str,
        code: str,
        words: Mapping[str, SaidInPublic],
        missing_items: tuple[str, ...],
        override_reason: str | None = None,
    ) -> None:
        """Approve exactly what was asked for: it is published by that. Refusals as for a campaign."""
        if self.status is not NoticeStatus.AWAITING_APPROVAL or self.requested_digest is None:
            raise IllegalTransition(f"There is nothing to approve: the public notice is {self.status.value}.")
        self._must_be_second_person(context, "publish")
        if text_digest != self.requested_digest or current_text_digest != self.requested_digest:
            raise Conflict(
                "The text is not the one that approval was asked for. Look at it again.", field="text_digest"
            )
        reason = tidy_reason(override_reason, "override_reason") if override_reason else None
        if missing_items and reason is None:
            raise InvalidInput(
                "The public notice lacks content that the law demands. Revise it, or give a reason for overriding.",
                errors=[FieldFault("required_items", f"{item}: not in the notice") for item in missing_items],
            )
        self.emit(
            PublicNoticePublished,
            context,
            incident_id=self.incident_id,
            number=len(self.published) + 1,
            text_digest=text_digest,
            code=code,
            words=dict(words),
            correction=self.correction,
            missing_items=missing_items,
            override_reason=reason if missing_items else None,
            required_items=self.required_items,
            duties=self.duties,
            campaign_id=self.campaign_id,
            drill=self.drill,
        )

    def reject(self, context: Context, *, reason: str) -> None:
        """Say no, with a reason the author can work with. What is published stays."""
        if self.status is not NoticeStatus.AWAITING_APPROVAL:
            raise IllegalTransition(f"There is nothing to reject: the public notice is {self.status.value}.")
        self._must_be_second_person(context, "reject")
        self.emit(PublicNoticeRejected, context, incident_id=self.incident_id, reason=tidy_reason(reason))

    def _must_be_drafted(self) -> None:
        if not self.is_drafted or self.status not in CHANGEABLE:
            raise IllegalTransition("There are no words yet: draft the public notice first.")

    def _must_be_second_person(self, context: Context, verb: str) -> None:
        must_be_person(context, f"{verb} a public notice")
        if context.actor in self.authors:
            raise Forbidden(f"Whoever wrote the public notice may not {verb} it: ask a second person.")

    @folds(PublicNoticeSuggested)
    def _suggested(self, event: PublicNoticeSuggested) -> None:
        self.status, self.incident_id, self.campaign_id = NoticeStatus.SUGGESTED, event.incident_id, event.campaign_id
        self.recipients, self.unreached, self.rules = event.recipients, event.unreached, event.rules

    @folds(PublicNoticeDismissed)
    def _dismissed(self, event: PublicNoticeDismissed) -> None:
        self.status, self.reason = NoticeStatus.DISMISSED, event.reason

    @folds(PublicNoticeDrafted)
    def _drafted(self, event: PublicNoticeDrafted) -> None:
        self.status, self.reason = NoticeStatus.DRAFT, None
        self.incident_id, self.campaign_id = event.incident_id, event.campaign_id
        self.run_id, self.step = event.run_id, event.step
        self.template, self.template_version, self.values = event.template, event.template_version, event.values
        self.duties, self.required_items, self.drill = event.duties, event.required_items, event.drill
        self.authors.add(event.actor)

    @folds(PublicNoticeRevised)
    def _revised(self, event: PublicNoticeRevised) -> None:
        self.status, self.requested_digest, self.reason = NoticeStatus.DRAFT, None, None
        self.values, self.correction = event.values, event.correction
        self.authors.add(event.actor)

    @folds(PublicNoticeApprovalRequested)
    def _approval_requested(self, event: PublicNoticeApprovalRequested) -> None:
        self.status, self.requested_digest = NoticeStatus.AWAITING_APPROVAL, event.text_digest
        self.requested_languages = event.languages
        self.required_items = tuple(sorted({*self.required_items, *event.required_items}))
        self.duties = self.duties if event.duties is None else event.duties
        self.authors.add(event.actor)

    @folds(PublicNoticeRejected)
    def _rejected(self, event: PublicNoticeRejected) -> None:
        self.status, self.requested_digest, self.reason = NoticeStatus.REJECTED, None, event.reason

    @folds(PublicNoticePublished)
    def _published(self, event: PublicNoticePublished) -> None:
        self.status, self.requested_digest = NoticeStatus.PUBLISHED, None
        self.correction, self.authors = {}, set()
        self.published.append(event)
