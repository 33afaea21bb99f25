"""Batches of first attempts, receipts that come early, and partitions by campaign.

Everything is added to what is there: a worker of the version before may go on beside one of this version.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_DELIVERY_COLUMNS = (
    "delivery_id, campaign_id, recipient_id, channel, repeat, state, rank, phase, due_at, tries, checks, lease_owner, "
    "lease_fence, lease_until, written_at, provider_id, code, changed_at"
)


def upgrade() -> None:
    """One step forward. Sendings under way go on: what has rows singly, the rest of the audience by batches."""
    _create_batches()
    op.create_table(
        "early_receipts",
        sa.Column("provider_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("provider_id", "status", name=op.f("pk_early_receipts")),
    )
    op.create_index("ix_early_receipts_delivery_id", "early_receipts", ["delivery_id"])
    with op.batch_alter_table("sendings") as table:
        table.add_column(sa.Column("batches", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("channel_order", sa.String(length=40), nullable=True))
    with op.batch_alter_table("delivery_log") as table:
        table.add_column(sa.Column("moved", sa.Integer(), server_default="1", nullable=False))
        table.add_column(sa.Column("moves", sa.Text(), nullable=True))
        table.alter_column("recipient_id", existing_type=sa.Uuid(), nullable=True)
        table.alter_column("delivery_id", existing_type=sa.Uuid(), nullable=True)
        table.alter_column("state", existing_type=sa.String(length=16), nullable=True)
    _rebuild_deliveries(owner_length=120, by_campaign=True)
    _index_deliveries_anew()
    if op.get_bind().dialect.name == "postgresql":
        _partition_recipients()


def downgrade() -> None:
    """The same step back. What is not sent of a campaign under way is then not sent any more: finish it first."""
    for name in ("ix_deliveries_due_at", "ix_deliveries_lease_until", "ix_deliveries_campaign_id_recipient_id"):
        op.drop_index(name, table_name="deliveries")
    _rebuild_deliveries(owner_length=64, by_campaign=False)
    op.create_index("ix_deliveries_phase_due_at", "deliveries", ["phase", "due_at"])
    op.create_index("ix_deliveries_campaign_id_recipient_id", "deliveries", ["campaign_id", "recipient_id"])
    op.create_index("ix_deliveries_provider_id", "deliveries", ["provider_id"])
    op.create_index("ix_deliveries_lease_owner", "deliveries", ["lease_owner"])
    if op.get_bind().dialect.name == "postgresql":
        _gather_recipients()
    op.execute("DELETE FROM delivery_log WHERE moves IS NOT NULL")
    with op.batch_alter_table("delivery_log") as table:
        table.alter_column("state", existing_type=sa.String(length=16), nullable=False)
        table.alter_column("delivery_id", existing_type=sa.Uuid(), nullable=False)
        table.alter_column("recipient_id", existing_type=sa.Uuid(), nullable=False)
        table.drop_column("moves")
        table.drop_column("moved")
    with op.batch_alter_table("sendings") as table:
        table.drop_column("channel_order")
        table.drop_column("batches")
    op.drop_table("early_receipts")
    op.drop_table("delivery_batches")


def _create_batches() -> None:
    op.create_table(
        "delivery_batches",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wire_to", sa.Integer(), nullable=False),
        sa.Column("settled", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=120), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("campaign_id", "number", name=op.f("pk_delivery_batches")),
    )
    ready, held = sa.text("state = 'ready'"), sa.text("state = 'held'")
    op.create_index(
        "ix_delivery_batches_ready",
        "delivery_batches",
        ["campaign_id", "channel", "number"],
        sqlite_where=ready,
        postgresql_where=ready,
    )
    op.create_index(
        "ix_delivery_batches_held", "delivery_batches", ["lease_until"], sqlite_where=held, postgresql_where=held
    )


def _rebuild_deliveries(*, owner_length: int, by_campaign: bool) -> None:
    """The same rows under another primary key; with it, on PostgreSQL, as partitions."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    if by_campaign and postgresql:
        _set_aside("deliveries")
        op.execute(f"ALTER TABLE deliveries_rest ALTER COLUMN lease_owner TYPE VARCHAR({owner_length})")
    else:
        op.rename_table("deliveries", "deliveries_before")
        _drop_indexes("deliveries_before")
        if postgresql:
            op.execute("ALTER TABLE deliveries_before DROP CONSTRAINT pk_deliveries")
    key = ("delivery_id", "campaign_id") if by_campaign else ("delivery_id",)
    partitioned: dict[str, Any] = {"postgresql_partition_by": "LIST (campaign_id)"} if by_campaign else {}
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=owner_length), nullable=True),
        sa.Column("lease_fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provider_id", sa.String(length=120), nullable=True),
        sa.Column("code", sa.String(length=40), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_deliveries")),
        **partitioned,
    )
    if by_campaign and postgresql:
        op.execute("ALTER TABLE deliveries ATTACH PARTITION deliveries_rest DEFAULT")
    else:
        copy = f"INSERT INTO deliveries ({_DELIVERY_COLUMNS}) SELECT {_DELIVERY_COLUMNS} FROM deliveries_before"
        op.execute(copy)
        op.drop_table("deliveries_before")


def _index_deliveries_anew() -> None:
    open_ones, leased = sa.text("phase <> 'done'"), sa.text("lease_owner IS NOT NULL")
    op.create_index(
        "ix_deliveries_due_at", "deliveries", ["due_at"], sqlite_where=open_ones, postgresql_where=open_ones
    )
    op.create_index(
        "ix_deliveries_lease_until", "deliveries", ["lease_until"], sqlite_where=leased, postgresql_where=leased
    )
    op.create_index("ix_deliveries_campaign_id_recipient_id", "deliveries", ["campaign_id", "recipient_id"])


def _partition_recipients() -> None:
    _set_aside("campaign_recipients")
    _create_recipients(postgresql_partition_by="LIST (campaign_id)")
    op.execute("ALTER TABLE campaign_recipients ATTACH PARTITION campaign_recipients_rest DEFAULT")


def _gather_recipients() -> None:
    op.rename_table("campaign_recipients", "campaign_recipients_before")
    op.execute("ALTER TABLE campaign_recipients_before DROP CONSTRAINT pk_campaign_recipients")
    _drop_indexes("campaign_recipients_before")
    _create_recipients()
    op.execute(
        "INSERT INTO campaign_recipients SELECT campaign_id, recipient_id, position, language, channels, reference, "
        "outcome FROM campaign_recipients_before"
    )
    op.drop_table("campaign_recipients_before")


def _create_recipients(**options: Any) -> None:
    op.create_table(
        "campaign_recipients",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("channels", sa.String(length=40), nullable=False),
        sa.Column("reference", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "recipient_id", name=op.f("pk_campaign_recipients")),
        **options,
    )
    op.create_index("ix_campaign_recipients_reference", "campaign_recipients", ["reference"])


def _set_aside(name: str) -> None:
    """Make the table the future partition of all that have none of their own. Its rows stay where they are."""
    op.rename_table(name, f"{name}_rest")
    op.execute(f"ALTER TABLE {name}_rest DROP CONSTRAINT pk_{name}")
    _drop_indexes(f"{name}_rest")


def _drop_indexes(table: str) -> None:
    for index in sa.inspect(op.get_bind()).get_indexes(table):
        op.drop_index(str(index["name"]), table_name=table)
