"""Tables of the front door: API keys and remembered answers."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table, Text

from incidents.record.database import UtcDateTime, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("roles", String(200), nullable=False),
    Column("secret_digest", LargeBinary(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(80), nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

remembered_answers = Table(
    "remembered_answers",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("idempotency_key", String(128), primary_key=True),
    Column("request_digest", LargeBinary(32), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("answered_at", UtcDateTime, nullable=False),
    Index("ix_remembered_answers_answered_at", "answered_at"),
)
