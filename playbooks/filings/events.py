"""What is recorded of a filing: what people wrote into it, who approved it, and what it was when it went out.

One stream per duty. Addresses of contract parties are not in here, only the ids of the versions that were shown.
"""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from incidents.record.event import Event, Instant, Model


class ItemWritten(Model):
    """What a person says about one demanded item."""

    text: str = ""
    """Empty where it is not yet known and nothing is added."""
    not_yet_known: bool = False
    """Said in the filing itself: the item will follow."""


class FilingWritten(Event, kind="filing.written"):
    """Somebody wrote items of a filing. Items that are not named stay as they were; an empty one is taken back."""

    incident_id: UUID
    duty_id: str
    items: dict[str, ItemWritten]
    points: tuple[UUID, ...] = ()
    """Versions of the contacts that counted when this was written, where it goes to a contract party."""


class FilingJudged(Model):
    """A filing as somebody answered for it."""

    digest: str
    """SHA-256 of what it says, hex."""
    missing: tuple[str, ...] = ()
    """Demanded items that it does not have; then `override_reason` says why it goes out all the same."""
    not_yet_known: tuple[str, ...] = ()
    override_reason: str | None = None
    points: tuple[UUID, ...] = ()
    warnings: tuple[str, ...] = ()
    """What was said loudly about the contact: `unconfirmed`, `changed_since` and the like."""


class FilingApproved(Event, kind="filing.approved"):
    """A named person finds the filing fit to go out as it is."""

    incident_id: UUID
    duty_id: str
    judged: FilingJudged


class FilingSubmitted(Event, kind="filing.submitted"):
    """The filing went out. The duty's own stream says whether it was late."""

    incident_id: UUID
    duty_id: str
    judged: FilingJudged
    submitted_at: Instant
    receipt: str = Field("", max_length=64)
    """What the receiver calls it."""


EVENTS: tuple[type[Event], ...] = (FilingWritten, FilingApproved, FilingSubmitted)
