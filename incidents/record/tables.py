"""Tables beside the events: who may do what only one should do at a time, and how following is divided."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from incidents.record.database import UtcDateTime, metadata

leases = Table(
    "leases",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("holder", String(120), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Index("ix_leases_holder", "holder"),
)
"""One row per thing that one process at a time does, and per process that is there (`member/...`). `until` is by the
database's clock; `fence` grows each time the lease changes hands."""

partitionings = Table(
    "partitionings",
    metadata,
    Column("follower", String(60), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("partitions", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("since", UtcDateTime, nullable=False),
)
"""How the work of a follower is divided; the newest epoch counts. Its partitions start at position `start`, up to which
everything had been handled when they were made."""
