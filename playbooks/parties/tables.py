"""The table of contact points. Nothing in it can be read without a master key that the database does not hold."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, String, Table, Uuid

from incidents.record.database import UtcDateTime, metadata

party_contacts = Table(
    "party_contacts",
    metadata,
    Column("point_id", Uuid, primary_key=True),
    Column("contact_id", Uuid, nullable=False),
    Column("party_id", Uuid, nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("sealed", LargeBinary),
    Column("stored_at", UtcDateTime, nullable=False),
    Column("erased_at", UtcDateTime),
    Index("ix_party_contacts_contact_id", "contact_id"),
    Index("ix_party_contacts_key_id", "key_id"),
)
"""A row is written once for each version of a contact. `sealed` is NULL once the contact is erased."""
