"""The notice of a campaign, ready to be written to each person. Read once per campaign: it is frozen since approval."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from uuid import UUID

from incidents.errors import Conflict
from incidents.record import Record
from notifier.campaigns.campaign import Campaign
from notifier.public.notices import PublicNotices
from notifier.templates import CheckAt, Rendered, Template, Templates, is_text, render

KEPT = 16
"""Campaigns kept in memory; sending touches few at a time."""


@dataclass(frozen=True, slots=True)
class Notice:
    """The approved words of one campaign."""

    template: Template
    values: Mapping[str, Any]
    incident_id: UUID
    category: str = ""
    by_law: bool = False
    """A duty demands it."""
    overrides: bool = False
    """A person decided that it goes to those too who are on the list of addresses not to be written to."""
    check: CheckAt | None = None
    """Where anybody can check that it is genuine."""

    @property
    def may_unsubscribe(self) -> bool:
        """Whether people may unsubscribe from such notices: never from one that a law demands."""
        return self.template.manifest.unsubscribable and not self.by_law

    def write(self, language: str, channel: str, person_name: str, reference: str) -> Rendered:
        """The notice for one person by one channel."""
        return render(self.template, language, channel, self.values, person_name, reference, self.check)


class Notices:
    """Notices by campaign."""

    def __init__(self, record: Record, templates: Templates, public: PublicNotices | None = None) -> None:
        """With `public`, a campaign's page is there before the first of its messages is made."""
        self._record = record
        self._templates = templates
        self._public = public
        self._kept: OrderedDict[UUID, Notice] = OrderedDict()
        self._lock = Lock()
        """Several threads ask."""

    def of(self, campaign_id: UUID) -> Notice:
        """The notice. Conflict when the template's files are no longer those that were approved (promise 6)."""
        with self._lock:
            return self._of(campaign_id)

    def _of(self, campaign_id: UUID) -> Notice:
        if campaign_id in self._kept:
            self._kept.move_to_end(campaign_id)
            return self._kept[campaign_id]
        campaign = self._record.load(Campaign, campaign_id)
        template = self._templates.get(campaign.template)
        approved = campaign.requested_digests
        if approved is None or not is_text(template, campaign.values, campaign.languages, approved[0]):
            raise Conflict(f"The words of campaign {campaign_id} are not the approved ones: it is not sent.")
        notice = self._kept[campaign_id] = Notice(
            template,
            campaign.values,
            campaign.incident_id,
            category=template.manifest.category,
            by_law=bool(campaign.duties),
            overrides=campaign.suppression_override is not None,
            check=self._public.publish(campaign, template) if self._public is not None else None,
        )
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return notice
