"""Deliveries know since when they are unclear, and since when a provider gives no answer about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    for name in ("unclear_at", "silent_since"):
        op.add_column("deliveries", sa.Column(name, sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """The same step back."""
    for name in ("silent_since", "unclear_at"):
        op.drop_column("deliveries", name)
