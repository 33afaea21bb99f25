"""Recipients may have an address for instant messages and a postal one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""
    for name in ("has_im", "has_post"):
        op.add_column("audience_members", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """The same step back."""
    for name in ("has_post", "has_im"):
        op.drop_column("audience_members", name)
