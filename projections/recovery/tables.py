"""Table of the recovery status."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text, Uuid

from incidents.record.database import UtcDateTime, metadata
from projections.rows import generation_column

NAME = "recovery"

recovery_incidents = Table(
    "recovery_incidents",
    metadata,
    generation_column(),
    Column("incident_id", Uuid, primary_key=True),
    Column("title", Text, nullable=False, default=""),
    Column("state", String(16), nullable=False, default="reported"),
    Column("detected_at", UtcDateTime),
    Column("reported_at", UtcDateTime, nullable=False),
    Column("triaged_at", UtcDateTime),
    Column("contained_at", UtcDateTime),
    Column("eradicated_at", UtcDateTime),
    Column("recovered_at", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("state_since", UtcDateTime, nullable=False),
    Column("reopened", Integer, nullable=False, default=0),
    Index("ix_recovery_incidents_reported", "generation", "reported_at", "incident_id"),
)
