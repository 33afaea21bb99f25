"""Tables of campaign coverage."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, String, Table, Text, Uuid

from incidents.record.database import UtcDateTime, metadata
from projections.rows import generation_column

NAME = "coverage"

coverage_campaigns = Table(
    "coverage_campaigns",
    metadata,
    generation_column(),
    Column("campaign_id", Uuid, primary_key=True),
    Column("incident_id", Uuid, nullable=False),
    Column("run_id", Uuid),
    Column("step", Text),
    Column("template", Text, nullable=False, default=""),
    Column("template_version", Text, nullable=False, default=""),
    Column("duties", JSON),
    Column("drill", Boolean, nullable=False, default=False),
    Column("state", String(32), nullable=False, default="drafted"),
    Column("planned", Integer, nullable=False, default=0),
    Column("planned_by_language", JSON),
    Column("planned_by_channel", JSON),
    Column("reached", Integer, nullable=False, default=0),
    Column("in_flight", Integer, nullable=False, default=0),
    Column("failed", Integer, nullable=False, default=0),
    Column("ambiguous", Integer, nullable=False, default=0),
    Column("suppressed", Integer, nullable=False, default=0, server_default="0"),
    Column("cancelled", Integer, nullable=False, default=0, server_default="0"),
    Column("trying", Integer, nullable=False, default=0),
    Column("audience_id", Uuid),
    Column("audience_digest", Text),
    Column("text_digest", Text),
    Column("drafted_by", Text),
    Column("drafted_at", UtcDateTime),
    Column("requested_by", Text),
    Column("requested_at", UtcDateTime),
    Column("approved_by", Text),
    Column("approved_at", UtcDateTime),
    Column("override_reason", Text),
    Column("rejected_by", Text),
    Column("rejected_at", UtcDateTime),
    Column("rejected_reason", Text),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_coverage_campaigns_incident", "generation", "incident_id", "campaign_id"),
    Index("ix_coverage_campaigns_updated", "generation", "updated_at", "campaign_id"),
)

coverage_deliveries = Table(
    "coverage_deliveries",
    metadata,
    generation_column(),
    Column("campaign_id", Uuid, primary_key=True),
    Column("recipient", Uuid, primary_key=True),
    Column("delivery", Uuid, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("language", Text, nullable=False, default=""),
    Column("state", String(16), nullable=False),
    Column("moved_at", BigInteger, nullable=False),
    Column("code", String(40)),
    Column("versions", Text, nullable=False, default="", server_default=""),
)
"""`versions`: of the events in the stream of the campaign's deliveries that hold this delivery's moves, so that the
whole history of a person is found without reading that of the others."""

coverage_cells = Table(
    "coverage_cells",
    metadata,
    generation_column(),
    Column("campaign_id", Uuid, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("language", Text, primary_key=True),
    Column("recipients", Integer, nullable=False, default=0),
)
