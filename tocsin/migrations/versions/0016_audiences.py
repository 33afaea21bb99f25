"""Audiences that are imported in resumable batches and frozen by a Merkle root, and a report of every row left out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward. Audiences of before keep the digest they were approved by."""
    op.add_column("audiences", sa.Column("accept_valid", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("audiences", sa.Column("read_digest", sa.String(64), nullable=False, server_default=""))
    op.add_column("audiences", sa.Column("sms_places", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column("audience_members", sa.Column("leaf", sa.LargeBinary(32)))
    op.create_table(
        "audience_marks",
        sa.Column("audience_id", sa.Uuid(), nullable=False),
        sa.Column("mark", sa.LargeBinary(16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_phone", sa.Boolean(), nullable=False),
        sa.Column("other", sa.LargeBinary(16)),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("audience_id", "mark", "position", name=op.f("pk_audience_marks")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audience_row_reports",
        sa.Column("audience_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("audience_id", "row", "field", name=op.f("pk_audience_row_reports")),
    )


def downgrade() -> None:
    """The same step back. An import that was cut short starts anew."""
    op.drop_table("audience_row_reports")
    op.drop_table("audience_marks")
    op.drop_column("audience_members", "leaf")
    op.drop_column("audiences", "sms_places")
    op.drop_column("audiences", "read_digest")
    op.drop_column("audiences", "accept_valid")
