"""Table of the asset register."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, Table, Text, Uuid

from incidents.record.database import UtcDateTime, metadata
from projections.rows import generation_column

NAME = "assets"

asset_list = Table(
    "asset_list",
    metadata,
    generation_column(),
    Column("asset_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("sort_name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("classification", Text, nullable=False),
    Column("data_classes", JSON, nullable=False),
    Column("countries", JSON, nullable=False),
    Column("persons", BigInteger),
    Column("incidents", Integer, nullable=False, default=0),
    Column("retired", Boolean, nullable=False, default=False),
    Column("modified_at", UtcDateTime, nullable=False),
    Index("ix_asset_list_name", "generation", "sort_name", "asset_id"),
)
"""`incidents` counts the incidents that the asset is linked to. `sort_name` is the name without regard to case."""

asset_links = Table(
    "asset_links",
    metadata,
    generation_column(),
    Column("asset_id", Uuid, primary_key=True),
    Column("incident_id", Uuid, primary_key=True),
    Column("linked_at", UtcDateTime, nullable=False),
)
