"""Tables of playbook runs and their steps."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, Table, Text, Uuid

from incidents.record.database import UtcDateTime, metadata
from projections.rows import generation_column

NAME = "tasks"

task_runs = Table(
    "task_runs",
    metadata,
    generation_column(),
    Column("run_id", Uuid, primary_key=True),
    Column("incident_id", Uuid, nullable=False),
    Column("playbook", Text, nullable=False, default=""),
    Column("playbook_title", JSON),
    Column("definition_digest", Text, nullable=False, default=""),
    Column("drill", Boolean, nullable=False, default=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("started_by", Text, nullable=False, default=""),
    Column("finished_at", UtcDateTime),
    Column("outcome", Text),
    Column("steps_open", Integer, nullable=False, default=0),
    Column("steps_done", Integer, nullable=False, default=0),
    Index("ix_task_runs_started", "generation", "started_at", "run_id"),
    Index("ix_task_runs_incident", "generation", "incident_id", "started_at", "run_id"),
)

task_steps = Table(
    "task_steps",
    metadata,
    generation_column(),
    Column("run_id", Uuid, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("opened_position", BigInteger, primary_key=True),
    Column("incident_id", Uuid, nullable=False),
    Column("step_kind", Text, nullable=False),
    Column("title", JSON),
    Column("details", JSON),
    Column("since", UtcDateTime, nullable=False),
    Column("open", Boolean, nullable=False, default=True),
    Column("done_at", UtcDateTime),
    Column("done_by", Text),
    Column("outcome", Text),
    Column("comment", Text, nullable=False, default=""),
    Column("remind_at", UtcDateTime),
    Column("reminded_at", UtcDateTime),
    Index("ix_task_steps_open", "generation", "open", "since", "run_id", "opened_position"),
    Index("ix_task_steps_incident", "generation", "incident_id", "open", "since"),
)
