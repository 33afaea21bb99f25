"""Table of the deadlines: one row per duty on record."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Index, Integer, Table, Text, Uuid

from incidents.record.database import UtcDateTime, metadata
from projections.rows import generation_column

NAME = "deadlines"

deadline_duties = Table(
    "deadline_duties",
    metadata,
    generation_column(),
    Column("incident_id", Uuid, primary_key=True),
    Column("duty_id", Text, primary_key=True),
    Column("rule", Text, nullable=False, default=""),
    Column("instrument", Text, nullable=False, default=""),
    Column("article", Text, nullable=False, default=""),
    Column("jurisdiction", Text, nullable=False, default=""),
    Column("recipient", Text, nullable=False, default=""),
    Column("recipient_kind", Text, nullable=False, default=""),
    Column("stage", Text, nullable=False, default=""),
    Column("derived_status", Text, nullable=False, default="due"),
    Column("clock_event", Text, nullable=False, default=""),
    Column("clock_at", UtcDateTime),
    Column("strict_due", UtcDateTime),
    Column("legal_end", UtcDateTime),
    Column("reminder_at", UtcDateTime),
    Column("time_zone", Text, nullable=False, default="UTC"),
    Column("contents", JSON),
    Column("settle_by", JSON),
    Column("why", JSON),
    Column("pack_version", Text, nullable=False, default=""),
    Column("confidence", Text, nullable=False, default=""),
    Column("promptness", Text),
    Column("earliest_deadline", UtcDateTime),
    Column("ends_with_day", Boolean, nullable=False, default=False),
    Column("recipient_names", JSON),
    Column("instrument_titles", JSON),
    Column("content_texts", JSON),
    Column("exemptions", JSON),
    Column("note", Text, nullable=False, default=""),
    Column("waived", Boolean, nullable=False, default=False),
    Column("waived_by", Text),
    Column("waived_at", UtcDateTime),
    Column("waiver_reason", Text),
    Column("lifted", Boolean, nullable=False, default=False),
    Column("lifted_reason", Text),
    Column("missed", Boolean, nullable=False, default=False),
    Column("warned_percent", Integer, nullable=False, default=0),
    Column("step", Integer, nullable=False, default=0),
    Column("called_out_at", UtcDateTime),
    Column("acknowledged_step", Integer, nullable=False, default=0),
    Column("acknowledged_by", Text),
    Column("acknowledged_at", UtcDateTime),
    Column("fulfilled_at", UtcDateTime),
    Column("fulfilled_by", Text),
    Column("fulfilled_how", Text),
    Column("late", Boolean),
    Column("identified_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("rank", Integer, nullable=False, default=1),
    Column("due_sort", UtcDateTime, nullable=False),
    Index("ix_deadline_duties_order", "generation", "rank", "due_sort", "incident_id", "duty_id"),
)
