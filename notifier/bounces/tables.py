"""What came back by mail about deliveries of ours. No address is kept."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, String, Table, Uuid, text

from incidents.record.database import UtcDateTime, metadata

bounces = Table(
    "bounces",
    metadata,
    Column("delivery_id", Uuid, primary_key=True),
    Column("status", String(40), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("action", String(16), nullable=False),
    Column("meaning", String(16), nullable=False),
    Column("code", String(40), nullable=False),
    Column("evidence", String(16), nullable=False),
    Column("alone", Boolean, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("entered", Boolean, nullable=False),
    Index(
        "ix_bounces_waiting",
        "received_at",
        sqlite_where=text("entered = 0"),
        postgresql_where=text("NOT entered"),
    ),
)
"""One row for each delivery and status, however often it is reported. `evidence`: what proved that the report is about
this delivery. `alone`: the report was about one recipient, so that what it says of the address is said of theirs.
`entered`: its effect is in; false while the outcome of the delivery itself is still on its way into the books."""
