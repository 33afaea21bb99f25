"""What is recorded of a public notice. Everything in these events is for everybody to read, or about our own decisions:
there is nothing personal in them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from incidents.record.event import Event, Model


class SaidInPublic(Model):
    """The notice in one language."""

    subject: str
    text: str


class PublicNoticeSuggested(Event, kind="public.notice-suggested"):
    """So many people of a campaign cannot be reached that a law, or a rule of our own, points to a public notice. A
    person decides."""

    incident_id: UUID
    campaign_id: UUID
    recipients: int
    unreached: int
    rules: tuple[str, ...]
    """The rules of law that say so; empty: only the organisation's own share does."""


class PublicNoticeDismissed(Event, kind="public.notice-dismissed"):
    """A person decided against it."""

    incident_id: UUID
    reason: str


class PublicNoticeDrafted(Event, kind="public.notice-drafted"):
    """A public notice was prepared."""

    incident_id: UUID
    campaign_id: UUID | None = None
    """Whose words it has, and whose unreached people it is for."""
    run_id: UUID | None = None
    step: str | None = None
    template: str
    template_version: str
    values: dict[str, Any]
    duties: tuple[str, ...] = ()
    required_items: tuple[str, ...] = ()
    drill: bool = False


class PublicNoticeRevised(Event, kind="public.notice-revised"):
    """Its words changed; an approval that was asked for is void. What is published stays until the next version is."""

    incident_id: UUID
    values: dict[str, Any]
    correction: dict[str, str] = Field(default_factory=dict)
    """What is corrected, by language; needed once a version is published."""


class PublicNoticeApprovalRequested(Event, kind="public.notice-approval-requested"):
    """The author asks a second person to publish exactly this text."""

    incident_id: UUID
    text_digest: str
    languages: tuple[str, ...]
    required_items: tuple[str, ...] = ()
    duties: tuple[str, ...] | None = None
    """Those that it tells, where some arose since it was drafted; None: those it had."""

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is not said is not written: versions that do not know the field read everything that they could say."""
        written: dict[str, Any] = handler(self)
        if self.duties is None:
            written.pop("duties", None)
        return written


class PublicNoticeRejected(Event, kind="public.notice-rejected"):
    """The second person said no."""

    incident_id: UUID
    reason: str


class PublicNoticePublished(Event, kind="public.notice-published"):
    """A second person approved, and by that published, a version. Versions are never taken away."""

    incident_id: UUID
    number: int
    text_digest: str
    code: str
    words: dict[str, SaidInPublic]
    correction: dict[str, str] = Field(default_factory=dict)
    missing_items: tuple[str, ...] = ()
    override_reason: str | None = None
    required_items: tuple[str, ...] = ()
    duties: tuple[str, ...] = ()
    campaign_id: UUID | None = None
    drill: bool = False


EVENTS: tuple[type[Event], ...] = (
    PublicNoticeSuggested,
    PublicNoticeDismissed,
    PublicNoticeDrafted,
    PublicNoticeRevised,
    PublicNoticeApprovalRequested,
    PublicNoticeRejected,
    PublicNoticePublished,
)
