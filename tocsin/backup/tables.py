"""Tables of backups: when they were made, and whether sending waits after a restore."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, Uuid

from incidents.record.database import UtcDateTime, metadata

backups = Table(
    "backups",
    metadata,
    Column("backup_id", Uuid, primary_key=True),
    Column("made_at", UtcDateTime, nullable=False),
    Column("head", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)
"""Backups that were finished. `head` is the position of the newest event in them."""

sending_hold = Table(
    "sending_hold",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("placed_at", UtcDateTime, nullable=False),
    Column("reason", Text, nullable=False),
    Column("released_at", UtcDateTime),
    Column("released_by", String(80)),
    Column("release_reason", Text),
)
"""While a row is not released, nothing is sent."""
