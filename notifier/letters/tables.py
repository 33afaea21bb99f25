"""Whom a batch of letters is for. Addresses are in the vault, and pages are made when they are asked for, so that a
person who is erased is in no file of ours."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Uuid

from incidents.record.database import metadata

letter_items = Table(
    "letter_items",
    metadata,
    Column("campaign_id", Uuid, primary_key=True),
    Column("recipient_id", Uuid, primary_key=True),
    Column("batch_id", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    Index("ix_letter_items_batch_id", "batch_id", "position"),
)
"""One row per person and campaign: nobody gets two letters. Those of a batch that was given up have none."""

letter_batches = Table(
    "letter_batches",
    metadata,
    Column("campaign_id", Uuid, primary_key=True),
    Column("batch_id", Uuid, primary_key=True),
    Column("position", Integer, nullable=False),
)
"""The batches of a campaign, also those given up. `position`: of the first person in it, by which they are listed."""
