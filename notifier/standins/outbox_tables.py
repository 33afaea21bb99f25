"""Tables of the outbox. They belong to the stand-in alone: its database is the outside world's memory."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

METADATA = MetaData()

MESSAGES = Table(
    "outbox_message",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sid", String(64), nullable=False, unique=True),
    Column("channel", String(8), nullable=False),  # sms | email
    Column("recipient", String(320), nullable=False),
    Column("sender", String(320), nullable=False),
    Column("subject", Text, nullable=False, default=""),
    Column("body", Text, nullable=False),  # SMS text, or the readable text of an email
    Column("raw", LargeBinary),  # an email's bytes as they came
    Column("campaign", String(200), nullable=False, default=""),
    Column("message_id", String(998), nullable=False, default=""),  # an email's Message-ID
    Column("service_sid", String(64), nullable=False, default=""),
    Column("status_callback", Text, nullable=False, default=""),
    Column("segments", Integer, nullable=False, default=0),
    Column("outcome", String(64), nullable=False),
    Column("status", String(20), nullable=False),
    Column("error_code", String(16), nullable=False, default=""),
    Column("accepted_at", String(32), nullable=False),  # ISO 8601, UTC
    Column("updated_at", String(32), nullable=False),
    Column("sent_at", String(32), nullable=False, default=""),
    Column("send_at", String(32), nullable=False, default=""),  # of a scheduled message
    Index("outbox_message_recipient", "recipient", "id"),
    Index("outbox_message_status", "status"),
    sqlite_autoincrement=True,  # an id is never used again, so paging stays stable under pruning
)

REFUSALS = Table(
    "outbox_refusal",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("channel", String(8), nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("code", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", String(32), nullable=False),
)

TRIES = Table(
    "outbox_try",
    METADATA,
    Column("channel", String(8), primary_key=True),
    Column("recipient", String(320), primary_key=True),
    Column("tries", Integer, nullable=False),
)

CALLBACKS = Table(
    "outbox_callback",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sid", String(64), nullable=False, index=True),
    Column("status", String(20), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("result", String(80), nullable=False),  # HTTP status, error name, or "dropped"
    Column("at", String(32), nullable=False),
)
