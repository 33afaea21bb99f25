"""How far alerts have been taken in from Kafka. What Kafka itself remembers of it is only for those who look there."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table

from incidents.record.database import UtcDateTime, metadata

kafka_offsets = Table(
    "kafka_offsets",
    metadata,
    Column("consumer_group", String(249), primary_key=True),
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("topic_id", String(36), nullable=False, doc="Kafka's id of the topic; one made anew has another"),
    Column("next_offset", BigInteger, nullable=True, doc="The first message not yet taken in; null: the oldest one"),
    Column("epoch", BigInteger, nullable=False, doc="Grows each time a consumer takes the partition over"),
    Column("holder", String(120), nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)
"""Changed in the transaction that holds the effects of the messages before `next_offset`, and only by the consumer
that has the newest epoch."""
