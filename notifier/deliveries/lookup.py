"""From what a person reads out of a notice to the person."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Engine, select

from incidents.errors import NotFound
from incidents.record.database import reading
from notifier.deliveries.references import tidy_reference
from notifier.deliveries.tables import campaign_recipients


def recipient_of(engine: Engine, reference: str) -> UUID:
    """Whom a reference printed in a notice stands for, however it was typed. NotFound when it stands for nobody."""
    with reading(engine) as connection:
        found = connection.execute(
            select(campaign_recipients.c.recipient_id).where(
                campaign_recipients.c.reference == tidy_reference(reference)
            )
        ).scalars()
        ids: set[UUID] = set(found)
    if len(ids) != 1:  # two people with one code is one chance in 2^50: then neither is taken for the other
        raise NotFound("No notice has that reference.", field="reference")
    return ids.pop()
