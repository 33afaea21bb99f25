"""Open incidents have an index of their own on the board."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward. The read model is built anew afterwards, so its rows of before need no values."""
    op.add_column("board_incidents", sa.Column("is_open", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_index(
        "ix_board_incidents_open", "board_incidents", ["generation", "is_open", "next_due_sort", "incident_id"]
    )


def downgrade() -> None:
    """The same step back."""
    op.drop_index("ix_board_incidents_open", "board_incidents")
    with op.batch_alter_table("board_incidents") as table:
        table.drop_column("is_open")
