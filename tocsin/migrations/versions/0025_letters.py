"""Letters by post."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "letter_items",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "recipient_id", name=op.f("pk_letter_items")),
    )
    op.create_index("ix_letter_items_batch_id", "letter_items", ["batch_id", "position"])


def downgrade() -> None:
    """The same step back."""
    op.drop_table("letter_items")
