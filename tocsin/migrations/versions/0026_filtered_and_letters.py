"""How many text messages networks filter; why a provider does not say what became of messages; batches of letters by
themselves, so that one given up can be listed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    for name in ("texts_ended", "texts_filtered"):
        op.add_column("sendings", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("sendings", sa.Column("filtered_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sendings", sa.Column("unanswered", sa.String(length=40), nullable=True))
    op.create_table(
        "letter_batches",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "batch_id", name=op.f("pk_letter_batches")),
    )
    op.execute(
        "INSERT INTO letter_batches (campaign_id, batch_id, position) "
        "SELECT campaign_id, batch_id, min(position) FROM letter_items GROUP BY campaign_id, batch_id"
    )


def downgrade() -> None:
    """The same step back."""
    op.drop_table("letter_batches")
    op.drop_column("sendings", "unanswered")
    op.drop_column("sendings", "filtered_at")
    for name in ("texts_filtered", "texts_ended"):
        op.drop_column("sendings", name)
