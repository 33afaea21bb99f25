"""Owners of duties, waiting duties, retention; and with which law open incidents were last derived."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward. The read model is built anew afterwards, so its rows of before need no values."""
    op.create_table(
        "derived_with",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_derived_with")),
    )
    with op.batch_alter_table("deadline_duties") as table:
        table.add_column(sa.Column("delay", sa.JSON(), nullable=True))
        table.add_column(sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("delayable_by", sa.JSON(), nullable=True))
        table.add_column(sa.Column("retention", sa.JSON(), nullable=True))
        table.add_column(sa.Column("assigned_to", sa.Text(), nullable=True))
        table.add_column(sa.Column("assigned_by", sa.Text(), nullable=True))
        table.add_column(sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """The same step back."""
    with op.batch_alter_table("deadline_duties") as table:
        for name in ("assigned_at", "assigned_by", "assigned_to", "retention", "delayable_by", "paused_until", "delay"):
            table.drop_column(name)
    op.drop_table("derived_with")
