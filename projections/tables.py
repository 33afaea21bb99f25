"""The runner's table."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table

from incidents.record.database import UtcDateTime, metadata

projection_positions = Table(
    "projection_positions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
