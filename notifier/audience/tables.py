"""Audiences: who a campaign is for, by random recipient id. Contacts are in the vault, not here."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Index, Integer, String, Table, Uuid

from incidents.record.database import UtcDateTime, metadata

audiences = Table(
    "audiences",
    metadata,
    Column("audience_id", Uuid, primary_key=True),
    Column("token", Uuid, nullable=False),
    Column("status", String(16), nullable=False),
    Column("imported_at", UtcDateTime, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("cause", String(120), nullable=False),
    Column("rows", Integer, nullable=False, default=0),
    Column("recipients", Integer, nullable=False, default=0),
    Column("folded", Integer, nullable=False, default=0),
    Column("faulty", Integer, nullable=False, default=0),
    Column("by_language", JSON, nullable=False, default=dict),
    Column("by_channel", JSON, nullable=False, default=dict),
    Column("by_country", JSON, nullable=False, default=dict),
    Column("digest", String(120), nullable=False, default=""),
    Column("faults", JSON, nullable=False, default=list),
    Index("ix_audiences_status", "status"),
)
"""`token` names the attempt that fills it. `status`: `importing` until every row is in, then `ready`.
`faults`: {row, field, reason}, never the value itself."""

audience_members = Table(
    "audience_members",
    metadata,
    Column("audience_id", Uuid, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("recipient_id", Uuid, nullable=False, unique=True),
    Column("language", String(16), nullable=False),
    Column("country", String(2), nullable=False),
    Column("has_sms", Boolean, nullable=False),
    Column("has_email", Boolean, nullable=False),
)
"""`position` counts from 1 in the order of the file; planning walks along it."""
