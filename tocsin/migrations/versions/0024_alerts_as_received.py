"""Alerts without contacts are kept as they came, and the finding is made of them when it is read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.add_column("findings", sa.Column("as_received", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """The same step back. What was kept as it came stays: the older program shows the alert in place of its finding."""
    op.drop_column("findings", "as_received")
