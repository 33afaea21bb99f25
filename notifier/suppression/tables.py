"""The tables of suppression. There is no address in them, and none can be made of what is."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table, Text, Uuid, text

from incidents.record.database import UtcDateTime, metadata

suppressions = Table(
    "suppressions",
    metadata,
    Column("suppression_id", Uuid, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("category", String(60), nullable=False),
    Column("reason", String(16), nullable=False),
    Column("code", String(40)),
    Column("note", Text),
    Column("added_at", UtcDateTime, nullable=False),
    Column("added_by", String(120), nullable=False),
    Column("lifted_at", UtcDateTime),
    Column("lifted_by", String(120)),
    Column("lifted_reason", Text),
    # One that is in force per digest, scope and reason; those that were lifted stay as history.
    Index(
        "ux_suppressions_in_force",
        "digest",
        "channel",
        "category",
        "reason",
        unique=True,
        sqlite_where=text("lifted_at IS NULL"),
        postgresql_where=text("lifted_at IS NULL"),
    ),
    Index("ix_suppressions_digest", "digest"),
    Index("ix_suppressions_added_at", "added_at", "suppression_id"),
)
"""One row for each reason not to write to an address. `digest` is a keyed digest of it, `kind` is `phone` or `email`.
`channel` and `category` say what it holds for; `*` stands for every one."""

suppression_keys = Table(
    "suppression_keys",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key_id", String(32), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)
"""The one key of the digests, wrapped by the master key `key_id`. It never changes: digests cannot be made anew, for
the addresses they were made of are gone."""
