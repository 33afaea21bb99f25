"""What is recorded of the rows of sending: only that they are gone. Everything they said is in the record before."""

from __future__ import annotations

from uuid import UUID

from incidents.record.event import Event


class DeliveryRowsRemoved(Event, kind="delivery.rows-removed"):
    """The working rows of a finished campaign were taken away. Its moves stay on record, recipient by recipient."""

    incident_id: UUID
    campaign_id: UUID
    persons: int
    """How many recipients had a row."""
    attempts: int
    """How many deliveries had one."""
    export_digest: str | None = None
    """SHA-256 of the file that the rows were written to before; none was asked for where it is not there."""
    reason: str


EVENTS: tuple[type[Event], ...] = (DeliveryRowsRemoved,)
