"""What all workers share of pacing: how far each bucket is drawn, and which providers are left alone."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from incidents.record.database import UtcDateTime, metadata

pace_buckets = Table(
    "pace_buckets",
    metadata,
    Column("name", String(160), primary_key=True),
    Column("free_at", UtcDateTime, nullable=False),
)
"""One row per limit in use. `free_at`: the instant up to which the bucket's rate is given away. Whoever wants to send
moves it on, so that all workers together never get more than the rate, however many they are."""

provider_states = Table(
    "provider_states",
    metadata,
    Column("channel", String(16), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("rests_until", UtcDateTime),
    Column("code", String(40)),
    Column("changed_at", UtcDateTime, nullable=False),
)
"""A provider that a worker leaves alone, until when and after which fault; `rests_until` is NULL once it works again.
For people to look at: each worker decides for itself."""
