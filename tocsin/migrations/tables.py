"""Which programs the schema of this database still serves."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table

from incidents.record.database import metadata

schema_support = Table(
    "schema_support",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("oldest_program", String(32), nullable=False),
)
"""One row (number 1): the step that a program must know at least to work on this schema. Written with every step."""
