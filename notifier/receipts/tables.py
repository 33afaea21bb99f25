"""Receipts already taken in: the same one again has no second effect."""

from __future__ import annotations

from sqlalchemy import Column, String, Table, Uuid

from incidents.record.database import UtcDateTime, metadata

receipts = Table(
    "receipts",
    metadata,
    Column("provider_id", String(64), primary_key=True),
    Column("status", String(32), primary_key=True),
    Column("delivery_id", Uuid, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("code", String(16)),
)
