"""The table of what anybody may see."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, String, Table, Uuid

from incidents.record.database import UtcDateTime, metadata

public_notices = Table(
    "public_notices",
    metadata,
    Column("campaign_id", Uuid, primary_key=True),
    Column("code", String(20), nullable=False),
    Column("first_sent_at", UtcDateTime, nullable=False),
    Column("words", JSON, nullable=False),
    Index("ux_public_notices_code", "code", unique=True),
)
"""One row per campaign that began to go out, written before its first message is. `words`: by language, the subject and
text as approved, with nothing of any person in them. They stay as they were sent when templates change later."""
