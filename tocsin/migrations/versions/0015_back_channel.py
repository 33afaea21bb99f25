"""What comes back by mail, who is not to be written to, and how many were left out for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "bounces",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("meaning", sa.String(16), nullable=False),
        sa.Column("code", sa.String(40), nullable=False),
        sa.Column("evidence", sa.String(16), nullable=False),
        sa.Column("alone", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entered", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", "status", name=op.f("pk_bounces")),
    )
    op.create_index(
        "ix_bounces_waiting",
        "bounces",
        ["received_at"],
        sqlite_where=sa.text("entered = 0"),
        postgresql_where=sa.text("NOT entered"),
    )
    op.create_table(
        "suppressions",
        sa.Column("suppression_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("category", sa.String(60), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("code", sa.String(40)),
        sa.Column("note", sa.Text()),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.String(120), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True)),
        sa.Column("lifted_by", sa.String(120)),
        sa.Column("lifted_reason", sa.Text()),
        sa.PrimaryKeyConstraint("suppression_id", name=op.f("pk_suppressions")),
    )
    op.create_index(
        "ux_suppressions_in_force",
        "suppressions",
        ["digest", "channel", "category", "reason"],
        unique=True,
        sqlite_where=sa.text("lifted_at IS NULL"),
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    op.create_index("ix_suppressions_digest", "suppressions", ["digest"])
    op.create_index("ix_suppressions_added_at", "suppressions", ["added_at", "suppression_id"])
    op.create_table(
        "suppression_keys",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_suppression_keys")),
    )
    op.add_column("sendings", sa.Column("suppressed", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """The same step back."""
    op.drop_column("sendings", "suppressed")
    op.drop_table("suppression_keys")
    op.drop_table("suppressions")
    op.drop_table("bounces")
