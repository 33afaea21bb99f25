"""Warnings to our own staff, and who acknowledged them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward. The read model is built anew afterwards, so its rows of before need no values."""
    op.create_table(
        "staff_warnings",
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("duty_id", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("called_out_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("recipient", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("claim", sa.Uuid(), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "incident_id", "duty_id", "step", "called_out_at", "round", "recipient", name=op.f("pk_staff_warnings")
        ),
    )
    with op.batch_alter_table("deadline_duties") as table:
        table.add_column(sa.Column("step", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("called_out_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("acknowledged_step", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("acknowledged_by", sa.Text(), nullable=True))
        table.add_column(sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """The same step back."""
    with op.batch_alter_table("deadline_duties") as table:
        for name in ("acknowledged_at", "acknowledged_by", "acknowledged_step", "called_out_at", "step"):
            table.drop_column(name)
    op.drop_table("staff_warnings")
