"""Table of the register of contract parties."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Index, Integer, Table, Text, Uuid

from incidents.record.database import UtcDateTime, metadata
from projections.rows import generation_column

NAME = "parties"

party_list = Table(
    "party_list",
    metadata,
    generation_column(),
    Column("party_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("sort_name", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("roles", JSON, nullable=False),
    Column("contracts", JSON, nullable=False),
    Column("place", Text),
    Column("contacts", JSON, nullable=False),
    Column("retired", Boolean, nullable=False, default=False),
    Column("modified_at", UtcDateTime, nullable=False),
    Index("ix_party_list_name", "generation", "sort_name", "party_id"),
)
"""`contacts`: contact id to its purpose and how it stands (`stated`, `confirmed`, `changed`, `erased`)."""
