"""With which law all open incidents were last derived."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from incidents.record.database import UtcDateTime, metadata

derived_with = Table(
    "derived_with",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("done_at", UtcDateTime, nullable=False),
)
"""One row. It is written when the last incident is done: after a kill on the way all are done again, without effect on
those that were done before."""
