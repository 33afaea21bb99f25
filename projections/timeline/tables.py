"""Table of the timeline."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, String, Table, Uuid

from incidents.record.database import UtcDateTime, metadata
from projections.rows import generation_column

NAME = "timeline"

timeline_entries = Table(
    "timeline_entries",
    metadata,
    generation_column(),
    Column("position", BigInteger, primary_key=True),
    Column("incident_id", Uuid, nullable=False),
    Column("originator_id", Uuid, nullable=False),
    Column("originator_version", Integer, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("happened_at", UtcDateTime, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("minor", Boolean, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("cause", String(128), nullable=False),
    Index("ix_timeline_entries_incident", "generation", "incident_id", "position"),
)
