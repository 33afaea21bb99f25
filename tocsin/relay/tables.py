"""The table of the relay: how far each topic has been given the record."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from incidents.record.database import UtcDateTime, metadata

relay_positions = Table(
    "relay_positions",
    metadata,
    Column("topic", String(249), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("topic_id", String(36), nullable=False),
    Column("offsets", Text, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
)
"""`position`: the brokers have acknowledged every event up to it. `generation` grows whenever a position is put back,
so that a relay which was at work meanwhile cannot put it forward again. `topic_id`: Kafka's own id of the topic that
has them; a topic deleted and made again has another. `offsets`: where each partition ended then (JSON); one that ends
earlier has lost something."""
