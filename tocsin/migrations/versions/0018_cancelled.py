"""Whom a cancelled campaign did not try; those left out or called off as parts of their own in the coverage; and where
in the record the history of each delivery is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_COUNTS = (
    ("sendings", "cancelled"),
    ("delivery_batches", "cancelled"),
    ("coverage_campaigns", "suppressed"),
    ("coverage_campaigns", "cancelled"),
)


def upgrade() -> None:
    """One step forward. A worker of the version before writes no such counts, and none is wanted of it."""
    for table, column in _COUNTS:
        op.add_column(table, sa.Column(column, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("sendings", sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("coverage_deliveries", sa.Column("code", sa.String(40), nullable=True))
    op.add_column("coverage_deliveries", sa.Column("versions", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """The same step back."""
    op.drop_column("coverage_deliveries", "versions")
    op.drop_column("coverage_deliveries", "code")
    op.drop_column("sendings", "cancelled_at")
    for table, column in reversed(_COUNTS):
        op.drop_column(table, column)
