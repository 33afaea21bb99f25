"""Pages on which anybody can check that a notice is genuine."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "public_notices",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.String(20), nullable=False),
        sa.Column("first_sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("words", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_public_notices")),
    )
    op.create_index("ux_public_notices_code", "public_notices", ["code"], unique=True)


def downgrade() -> None:
    """The same step back."""
    op.drop_table("public_notices")
