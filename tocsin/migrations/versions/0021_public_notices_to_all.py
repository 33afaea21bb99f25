"""Public notices: where each stands, and its published versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "public_notice_states",
        sa.Column("notice_id", sa.Uuid(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("drill", sa.Boolean(), nullable=False),
        sa.Column("versions", sa.Integer(), nullable=False),
        sa.Column("unreached", sa.Integer(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_public_notice_states")),
    )
    op.create_index("ix_public_notice_states_incident_id", "public_notice_states", ["incident_id"])
    op.create_index("ix_public_notice_states_campaign_id", "public_notice_states", ["campaign_id"])
    op.create_table(
        "public_notice_versions",
        sa.Column("notice_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(20), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("words", sa.JSON(), nullable=False),
        sa.Column("correction", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("notice_id", "number", name=op.f("pk_public_notice_versions")),
    )
    op.create_index("ix_public_notice_versions_code", "public_notice_versions", ["code"])
    op.create_index("ix_public_notice_versions_incident_id", "public_notice_versions", ["incident_id"])
    op.create_index("ix_public_notice_versions_published_at", "public_notice_versions", ["published_at"])


def downgrade() -> None:
    """The same step back."""
    op.drop_table("public_notice_versions")
    op.drop_table("public_notice_states")
