"""The order of channels by rule, kept with a sending."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.add_column("sendings", sa.Column("channel_rules", sa.Text(), nullable=True))


def downgrade() -> None:
    """The same step back."""
    op.drop_column("sendings", "channel_rules")
