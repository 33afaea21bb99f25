"""The tables of public notices. Both follow from the record and can be made anew from it."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Index, Integer, String, Table, Uuid

from incidents.record.database import UtcDateTime, metadata

public_notice_states = Table(
    "public_notice_states",
    metadata,
    Column("notice_id", Uuid, primary_key=True),
    Column("incident_id", Uuid, nullable=False),
    Column("campaign_id", Uuid),
    Column("status", String(20), nullable=False),
    Column("drill", Boolean, nullable=False),
    Column("versions", Integer, nullable=False),
    Column("unreached", Integer),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_public_notice_states_incident_id", "incident_id"),
    Index("ix_public_notice_states_campaign_id", "campaign_id"),
)
"""One row per public notice, suggested ones and drills too: for those who work on them."""

public_notice_versions = Table(
    "public_notice_versions",
    metadata,
    Column("notice_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("code", String(20), nullable=False),
    Column("incident_id", Uuid, nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
    Column("words", JSON, nullable=False),
    Column("correction", JSON, nullable=False),
    Index("ix_public_notice_versions_code", "code"),
    Index("ix_public_notice_versions_incident_id", "incident_id"),
    Index("ix_public_notice_versions_published_at", "published_at"),
)
"""One row per published version: what everybody may read. Rows are added, never changed or taken away."""
