"""Pausing, pacing, quiet hours and providers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_COUNTS = ("control_version", "holds")
_INSTANTS = ("paused_at", "deadline", "measured_at")
_OPEN = sa.text("phase <> 'done'")


def upgrade() -> None:
    """One step forward. A worker of the version before does not see that a campaign is paused: let it end first."""
    for name in _COUNTS:
        op.add_column("sendings", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    for name in _INSTANTS:
        op.add_column("sendings", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("sendings", sa.Column("quiet", sa.String(length=16), nullable=True))
    op.add_column("sendings", sa.Column("measured_done", sa.Integer(), nullable=True))
    op.add_column("sendings", sa.Column("per_hour", sa.Float(), nullable=True))
    op.add_column("delivery_batches", sa.Column("zone", sa.String(length=2), nullable=True))
    op.add_column("deliveries", sa.Column("provider", sa.String(length=40), nullable=True))
    # What is open is asked for by campaign, so that a few people do not wait behind millions.
    op.create_index(
        "ix_deliveries_open", "deliveries", ["campaign_id", "due_at"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.drop_index("ix_deliveries_due_at", table_name="deliveries")
    op.create_table(
        "pace_buckets",
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pace_buckets")),
    )
    op.create_table(
        "provider_states",
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("rests_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("code", sa.String(length=40), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", "name", name=op.f("pk_provider_states")),
    )


def downgrade() -> None:
    """The same step back."""
    op.drop_table("provider_states")
    op.drop_table("pace_buckets")
    op.create_index("ix_deliveries_due_at", "deliveries", ["due_at"], sqlite_where=_OPEN, postgresql_where=_OPEN)
    op.drop_index("ix_deliveries_open", table_name="deliveries")
    op.drop_column("deliveries", "provider")
    op.drop_column("delivery_batches", "zone")
    for name in ("per_hour", "measured_done", "quiet", *_INSTANTS, *_COUNTS):
        op.drop_column("sendings", name)
