"""What is recorded beside a campaign: looks at people's histories (who, why, how much; never whom), and tests."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from incidents.record.event import Event

By = Literal["address", "reference", "recipient"]


class HistoryRead(Event, kind="history.read"):
    """Somebody looked up what became of one person. A search that found nobody is a look too."""

    incident_id: UUID | None = None
    """None when nothing was found."""
    campaigns: tuple[UUID, ...] = ()
    recipients: tuple[UUID, ...] = ()
    """Random ids; who they are is in the vault."""
    by: By
    """What was known of the person. Not the thing itself, which would name them."""
    reason: str


class HistoryExportBegun(Event, kind="history.export-begun"):
    """Somebody asked for that file. On record before its first line, so that one that breaks off is too."""

    incident_id: UUID
    campaign_id: UUID
    form: str
    """`ndjson` or `csv`."""
    reason: str


class HistoryExported(Event, kind="history.exported"):
    """Somebody took the histories of all recipients of a campaign away in a file. It holds no names or addresses."""

    incident_id: UUID
    campaign_id: UUID
    form: str
    """`ndjson` or `csv`."""
    recipients: int
    outcomes: dict[str, int]
    root: str
    """`rfc6962-sha256:` and the root of the tree over the file's lines: whoever has the file can make it anew."""
    whole: bool
    """False: whoever asked for it broke off before the end."""
    reason: str


class CampaignTested(Event, kind="campaign.tested"):
    """The notice as it stood was mailed to colleagues, marked as a test. It counts for nothing. It is in a stream of
    its own, so that the campaign's version stays what it is."""

    incident_id: UUID
    campaign_id: UUID
    to: tuple[str, ...]
    """Names of colleagues in the settings."""
    languages: tuple[str, ...]
    text_digest: str
    accepted: int
    """Mails that the server took."""
    refused: int


EVENTS: tuple[type[Event], ...] = (HistoryRead, HistoryExportBegun, HistoryExported, CampaignTested)
