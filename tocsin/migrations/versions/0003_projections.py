"""Tables of the projections room: positions and read models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    _create_alert_list()
    _create_board_duties()
    _create_board_grades()
    _create_board_incidents()
    _create_coverage_campaigns()
    _create_coverage_cells()
    _create_coverage_deliveries()
    _create_deadline_duties()
    _create_projection_positions()
    _create_recovery_incidents()
    _create_task_runs()
    _create_task_steps()
    _create_timeline_entries()


def downgrade() -> None:
    """The same step back; indexes go with their tables."""
    op.drop_table("timeline_entries")
    op.drop_table("task_steps")
    op.drop_table("task_runs")
    op.drop_table("recovery_incidents")
    op.drop_table("projection_positions")
    op.drop_table("deadline_duties")
    op.drop_table("coverage_deliveries")
    op.drop_table("coverage_cells")
    op.drop_table("coverage_campaigns")
    op.drop_table("board_incidents")
    op.drop_table("board_grades")
    op.drop_table("board_duties")
    op.drop_table("alert_list")


def _create_alert_list() -> None:
    op.create_table(
        "alert_list",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("severity_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("correlation_key", sa.Text(), nullable=False),
        sa.Column("detected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("generation", "alert_id", name=op.f("pk_alert_list")),
    )
    op.create_index("ix_alert_list_incident", "alert_list", ["generation", "incident_id", "received_at", "alert_id"])
    op.create_index("ix_alert_list_received", "alert_list", ["generation", "received_at", "alert_id"])


def _create_board_duties() -> None:
    op.create_table(
        "board_duties",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("duty_id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waived", sa.Boolean(), nullable=False),
        sa.Column("lifted", sa.Boolean(), nullable=False),
        sa.Column("fulfilled", sa.Boolean(), nullable=False),
        sa.Column("missed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("generation", "incident_id", "duty_id", name=op.f("pk_board_duties")),
    )


def _create_board_grades() -> None:
    op.create_table(
        "board_grades",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=True),
        sa.Column("scheme_version", sa.Text(), nullable=False),
        sa.Column("overridden", sa.Boolean(), nullable=False),
        sa.Column("open_criteria", sa.Integer(), nullable=False),
        sa.Column("graded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("generation", "incident_id", "scheme", name=op.f("pk_board_grades")),
    )
    op.create_index("ix_board_grades_level", "board_grades", ["generation", "level", "incident_id"])


def _create_board_incidents() -> None:
    op.create_table(
        "board_incidents",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("reference", sa.String(length=16), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reported_by", sa.Text(), nullable=False),
        sa.Column("severity_rank", sa.Integer(), nullable=False),
        sa.Column("assignee", sa.Text(), nullable=True),
        sa.Column("merged_into", sa.Uuid(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("alerts", sa.Integer(), nullable=False),
        sa.Column("duties_open", sa.Integer(), nullable=False),
        sa.Column("duties_missed", sa.Integer(), nullable=False),
        sa.Column("next_duty", sa.Text(), nullable=True),
        sa.Column("next_rule", sa.Text(), nullable=True),
        sa.Column("next_recipient", sa.Text(), nullable=True),
        sa.Column("next_possible", sa.Boolean(), nullable=False),
        sa.Column("next_due_sort", sa.DateTime(timezone=True), nullable=False),
        sa.Column("persons_stated", sa.BigInteger(), nullable=True),
        sa.Column("persons_counted", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("generation", "incident_id", name=op.f("pk_board_incidents")),
    )
    op.create_index("ix_board_incidents_deadline", "board_incidents", ["generation", "next_due_sort", "incident_id"])
    op.create_index("ix_board_incidents_opened", "board_incidents", ["generation", "opened_at", "incident_id"])
    op.create_index("ix_board_incidents_reference", "board_incidents", ["generation", "reference"])
    op.create_index("ix_board_incidents_severity", "board_incidents", ["generation", "severity_rank", "incident_id"])
    op.create_index("ix_board_incidents_updated", "board_incidents", ["generation", "updated_at", "incident_id"])


def _create_coverage_campaigns() -> None:
    op.create_table(
        "coverage_campaigns",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("template_version", sa.Text(), nullable=False),
        sa.Column("duties", sa.JSON(), nullable=True),
        sa.Column("drill", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("planned_by_language", sa.JSON(), nullable=True),
        sa.Column("planned_by_channel", sa.JSON(), nullable=True),
        sa.Column("reached", sa.Integer(), nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("ambiguous", sa.Integer(), nullable=False),
        sa.Column("trying", sa.Integer(), nullable=False),
        sa.Column("audience_id", sa.Uuid(), nullable=True),
        sa.Column("audience_digest", sa.Text(), nullable=True),
        sa.Column("text_digest", sa.Text(), nullable=True),
        sa.Column("drafted_by", sa.Text(), nullable=True),
        sa.Column("drafted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("override_reason", sa.Text(), nullable=True),
        sa.Column("rejected_by", sa.Text(), nullable=True),
        sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rejected_reason", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("generation", "campaign_id", name=op.f("pk_coverage_campaigns")),
    )
    op.create_index(
        "ix_coverage_campaigns_incident", "coverage_campaigns", ["generation", "incident_id", "campaign_id"]
    )
    op.create_index("ix_coverage_campaigns_updated", "coverage_campaigns", ["generation", "updated_at", "campaign_id"])


def _create_coverage_cells() -> None:
    op.create_table(
        "coverage_cells",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "generation", "campaign_id", "outcome", "channel", "language", name=op.f("pk_coverage_cells")
        ),
    )


def _create_coverage_deliveries() -> None:
    op.create_table(
        "coverage_deliveries",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("recipient", sa.Uuid(), nullable=False),
        sa.Column("delivery", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "generation", "campaign_id", "recipient", "delivery", name=op.f("pk_coverage_deliveries")
        ),
    )


def _create_deadline_duties() -> None:
    op.create_table(
        "deadline_duties",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("duty_id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("article", sa.Text(), nullable=False),
        sa.Column("jurisdiction", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("recipient_kind", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("derived_status", sa.Text(), nullable=False),
        sa.Column("clock_event", sa.Text(), nullable=False),
        sa.Column("clock_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("strict_due", sa.DateTime(timezone=True), nullable=True),
        sa.Column("legal_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reminder_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("contents", sa.JSON(), nullable=True),
        sa.Column("settle_by", sa.JSON(), nullable=True),
        sa.Column("why", sa.JSON(), nullable=True),
        sa.Column("pack_version", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Text(), nullable=False),
        sa.Column("promptness", sa.Text(), nullable=True),
        sa.Column("earliest_deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_with_day", sa.Boolean(), nullable=False),
        sa.Column("recipient_names", sa.JSON(), nullable=True),
        sa.Column("instrument_titles", sa.JSON(), nullable=True),
        sa.Column("content_texts", sa.JSON(), nullable=True),
        sa.Column("exemptions", sa.JSON(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("waived", sa.Boolean(), nullable=False),
        sa.Column("waived_by", sa.Text(), nullable=True),
        sa.Column("waived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiver_reason", sa.Text(), nullable=True),
        sa.Column("lifted", sa.Boolean(), nullable=False),
        sa.Column("lifted_reason", sa.Text(), nullable=True),
        sa.Column("missed", sa.Boolean(), nullable=False),
        sa.Column("warned_percent", sa.Integer(), nullable=False),
        sa.Column("fulfilled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fulfilled_by", sa.Text(), nullable=True),
        sa.Column("fulfilled_how", sa.Text(), nullable=True),
        sa.Column("late", sa.Boolean(), nullable=True),
        sa.Column("identified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("due_sort", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("generation", "incident_id", "duty_id", name=op.f("pk_deadline_duties")),
    )
    op.create_index(
        "ix_deadline_duties_order", "deadline_duties", ["generation", "rank", "due_sort", "incident_id", "duty_id"]
    )


def _create_projection_positions() -> None:
    op.create_table(
        "projection_positions",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "generation", name=op.f("pk_projection_positions")),
    )


def _create_recovery_incidents() -> None:
    op.create_table(
        "recovery_incidents",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("detected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("triaged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("contained_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("eradicated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recovered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reopened", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("generation", "incident_id", name=op.f("pk_recovery_incidents")),
    )
    op.create_index(
        "ix_recovery_incidents_reported", "recovery_incidents", ["generation", "reported_at", "incident_id"]
    )


def _create_task_runs() -> None:
    op.create_table(
        "task_runs",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("playbook", sa.Text(), nullable=False),
        sa.Column("playbook_title", sa.JSON(), nullable=True),
        sa.Column("definition_digest", sa.Text(), nullable=False),
        sa.Column("drill", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("steps_open", sa.Integer(), nullable=False),
        sa.Column("steps_done", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("generation", "run_id", name=op.f("pk_task_runs")),
    )
    op.create_index("ix_task_runs_incident", "task_runs", ["generation", "incident_id", "started_at", "run_id"])
    op.create_index("ix_task_runs_started", "task_runs", ["generation", "started_at", "run_id"])


def _create_task_steps() -> None:
    op.create_table(
        "task_steps",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("opened_position", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("step_kind", sa.Text(), nullable=False),
        sa.Column("title", sa.JSON(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_by", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("remind_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("generation", "run_id", "step", "opened_position", name=op.f("pk_task_steps")),
    )
    op.create_index("ix_task_steps_incident", "task_steps", ["generation", "incident_id", "open", "since"])
    op.create_index("ix_task_steps_open", "task_steps", ["generation", "open", "since", "run_id", "opened_position"])


def _create_timeline_entries() -> None:
    op.create_table(
        "timeline_entries",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("originator_id", sa.Uuid(), nullable=False),
        sa.Column("originator_version", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("minor", sa.Boolean(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("generation", "position", name=op.f("pk_timeline_entries")),
    )
    op.create_index("ix_timeline_entries_incident", "timeline_entries", ["generation", "incident_id", "position"])
