"""Which warning went to which of our own addresses, and how far each mail got."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table, Text, Uuid

from incidents.record.database import UtcDateTime, metadata

staff_warnings = Table(
    "staff_warnings",
    metadata,
    Column("incident_id", Uuid, primary_key=True),
    Column("duty_id", Text, primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("called_out_at", UtcDateTime, primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("recipient", Uuid, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("claim", Uuid, nullable=False),
    Column("free_at", UtcDateTime, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("code", String(40)),
    Column("updated_at", UtcDateTime, nullable=False),
)
"""One row for each step, round and address: that it is unique is what keeps a mail from going out twice. A step of a
window that moved is another one, hence `called_out_at`. Addresses are in the settings only; `recipient` is made of one.

`state`: `claimed` (nothing was written; free for another try after `free_at`), `writing` (a mail may be on its way:
never tried again in this round), then `sent`, `uncertain` or `refused`.
"""
