"""The vault's table. Nothing in it can be read without a master key that the database does not hold."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, String, Table, Uuid

from incidents.record.database import UtcDateTime, metadata

vault_contacts = Table(
    "vault_contacts",
    metadata,
    Column("recipient_id", Uuid, primary_key=True),
    Column("key_id", String(32), nullable=False),
    Column("wrapped_key", LargeBinary),
    Column("sealed", LargeBinary),
    Column("stored_at", UtcDateTime, nullable=False),
    Column("erased_at", UtcDateTime),
    Index("ix_vault_contacts_key_id", "key_id"),
)
"""`wrapped_key` is the person's own AES-256 key, wrapped by the master key `key_id`; `sealed` is the contact under
that key. Both are NULL once the person is erased."""
