"""Tables of the severity board."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text, Uuid

from incidents.record.database import UtcDateTime, metadata
from projections.rows import generation_column

NAME = "severity_board"

board_incidents = Table(
    "board_incidents",
    metadata,
    generation_column(),
    Column("incident_id", Uuid, primary_key=True),
    Column("reference", String(16), nullable=False),
    Column("title", Text, nullable=False, default=""),
    Column("search_text", Text, nullable=False, default=""),
    Column("state", String(16), nullable=False, default="reported"),
    Column("is_open", Boolean, nullable=False, default=True),
    Column("reported_by", Text, nullable=False, default=""),
    Column("severity_rank", Integer, nullable=False, default=0),
    Column("assignee", Text),
    Column("merged_into", Uuid),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("alerts", Integer, nullable=False, default=0),
    Column("duties_open", Integer, nullable=False, default=0),
    Column("duties_missed", Integer, nullable=False, default=0),
    Column("next_duty", Text),
    Column("next_rule", Text),
    Column("next_recipient", Text),
    Column("next_possible", Boolean, nullable=False, default=False),
    Column("next_due_sort", UtcDateTime, nullable=False),
    Column("persons_stated", BigInteger),
    Column("persons_counted", BigInteger),
    # The usual page: what is open, by deadline. It must not read past all that was ever closed.
    Index("ix_board_incidents_open", "generation", "is_open", "next_due_sort", "incident_id"),
    Index("ix_board_incidents_deadline", "generation", "next_due_sort", "incident_id"),
    Index("ix_board_incidents_opened", "generation", "opened_at", "incident_id"),
    Index("ix_board_incidents_updated", "generation", "updated_at", "incident_id"),
    Index("ix_board_incidents_severity", "generation", "severity_rank", "incident_id"),
    Index("ix_board_incidents_reference", "generation", "reference"),
)

board_grades = Table(
    "board_grades",
    metadata,
    generation_column(),
    Column("incident_id", Uuid, primary_key=True),
    Column("scheme", Text, primary_key=True),
    Column("level", Text),
    Column("scheme_version", Text, nullable=False),
    Column("overridden", Boolean, nullable=False, default=False),
    Column("open_criteria", Integer, nullable=False, default=0),
    Column("graded_at", UtcDateTime, nullable=False),
    Index("ix_board_grades_level", "generation", "level", "incident_id"),
)

board_duties = Table(
    "board_duties",
    metadata,
    generation_column(),
    Column("incident_id", Uuid, primary_key=True),
    Column("duty_id", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("due", UtcDateTime),
    Column("waived", Boolean, nullable=False, default=False),
    Column("lifted", Boolean, nullable=False, default=False),
    Column("fulfilled", Boolean, nullable=False, default=False),
    Column("missed", Boolean, nullable=False, default=False),
)
