"""Table of the timeline."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, Table, Text, Uuid

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
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("minor", Boolean, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("cause", Text, nullable=False),
    Index("ix_timeline_entries_incident", "generation", "incident_id", "position"),
)
