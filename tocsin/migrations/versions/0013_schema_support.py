"""Which programs the schema still serves, so that those of the version before may work beside those of the next."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

oldest_program = "0013"
"""Programs of before do not look here."""


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "schema_support",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("oldest_program", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_schema_support")),
    )


def downgrade() -> None:
    """The same step back."""
    op.drop_table("schema_support")
