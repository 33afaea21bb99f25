"""Tables of the incidents room: the findings behind alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    _create_findings()


def downgrade() -> None:
    """The same step back; indexes go with their tables."""
    op.drop_table("findings")


def _create_findings() -> None:
    op.create_table(
        "findings",
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("dialect", sa.String(length=40), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finding", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", "digest", name=op.f("pk_findings")),
    )
    op.create_index(op.f("ix_findings_received_at"), "findings", ["received_at"])
