"""How far each topic of Kafka has been given the record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "relay_positions",
        sa.Column("topic", sa.String(length=249), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("topic_id", sa.String(length=36), nullable=False),
        sa.Column("offsets", sa.Text(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("topic", name=op.f("pk_relay_positions")),
    )


def downgrade() -> None:
    """The same step back."""
    op.drop_table("relay_positions")
