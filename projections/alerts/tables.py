"""Table of the alerts that came in."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text, Uuid

from incidents.record.database import UtcDateTime, metadata
from projections.rows import generation_column

NAME = "alerts"

alert_list = Table(
    "alert_list",
    metadata,
    generation_column(),
    Column("alert_id", Uuid, primary_key=True),
    Column("incident_id", Uuid),
    Column("outcome", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("severity_id", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("correlation_key", Text, nullable=False),
    Column("detected_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("ix_alert_list_received", "generation", "received_at", "alert_id"),
    Index("ix_alert_list_incident", "generation", "incident_id", "received_at", "alert_id"),
)
