"""Audiences know how many people are where, read what, and can be reached by what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward. Audiences of before are counted when they are asked about."""
    op.add_column("audiences", sa.Column("reach", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))


def downgrade() -> None:
    """The same step back."""
    op.drop_column("audiences", "reach")
