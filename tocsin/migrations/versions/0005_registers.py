"""Tables of the registers: contact points of contract parties, and the lists of assets and parties."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    _create_party_contacts()
    _create_party_list()
    _create_asset_list()
    _create_asset_links()


def downgrade() -> None:
    """The same step back; indexes go with their tables."""
    op.drop_table("asset_links")
    op.drop_table("asset_list")
    op.drop_table("party_list")
    op.drop_table("party_contacts")


def _create_party_contacts() -> None:
    op.create_table(
        "party_contacts",
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("party_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("point_id", name=op.f("pk_party_contacts")),
    )
    op.create_index("ix_party_contacts_contact_id", "party_contacts", ["contact_id"])
    op.create_index("ix_party_contacts_key_id", "party_contacts", ["key_id"])


def _create_party_list() -> None:
    op.create_table(
        "party_list",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("party_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sort_name", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("contracts", sa.JSON(), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("contacts", sa.JSON(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("generation", "party_id", name=op.f("pk_party_list")),
    )
    op.create_index("ix_party_list_name", "party_list", ["generation", "sort_name", "party_id"])


def _create_asset_list() -> None:
    op.create_table(
        "asset_list",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sort_name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("classification", sa.Text(), nullable=False),
        sa.Column("data_classes", sa.JSON(), nullable=False),
        sa.Column("countries", sa.JSON(), nullable=False),
        sa.Column("persons", sa.BigInteger(), nullable=True),
        sa.Column("incidents", sa.Integer(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("generation", "asset_id", name=op.f("pk_asset_list")),
    )
    op.create_index("ix_asset_list_name", "asset_list", ["generation", "sort_name", "asset_id"])


def _create_asset_links() -> None:
    op.create_table(
        "asset_links",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("generation", "asset_id", "incident_id", name=op.f("pk_asset_links")),
    )
