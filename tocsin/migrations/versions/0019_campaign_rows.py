"""What became of the rows of finished campaigns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "campaign_rows",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("analyzed_at", sa.DateTime(timezone=True)),
        sa.Column("exported_at", sa.DateTime(timezone=True)),
        sa.Column("exported_rows", sa.BigInteger()),
        sa.Column("export_digest", sa.String(64)),
        sa.Column("removal_asked_at", sa.DateTime(timezone=True)),
        sa.Column("removal_by", sa.String(120)),
        sa.Column("removal_reason", sa.Text()),
        sa.Column("persons", sa.BigInteger()),
        sa.Column("attempts", sa.BigInteger()),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_campaign_rows")),
    )


def downgrade() -> None:
    """The same step back."""
    op.drop_table("campaign_rows")
