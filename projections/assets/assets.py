"""Reading the asset list."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, select

from incidents.record.database import reading
from projections.assets.tables import NAME, asset_list
from projections.paging import Order, Page, ReadModel, read_page, read_text, read_uuid
from projections.positions import live_generation


class AssetEntry(ReadModel):
    """One asset of the register."""

    asset_id: UUID
    version: int
    name: str
    owner: str
    classification: str
    """`general`, `important` or `core`."""
    data_classes: tuple[str, ...]
    countries: tuple[str, ...]
    persons: int | None
    incidents: int
    """How many incidents it is linked to."""
    retired: bool
    modified_at: datetime


_c = asset_list.c
BY_NAME = Order("name", (_c.sort_name, _c.asset_id), (read_text, read_uuid))


def assets(
    engine: Engine,
    *,
    search: str | None = None,
    classification: str | None = None,
    retired: bool = False,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[AssetEntry]:
    """The assets by name; those out of use only with `retired`."""
    statement = select(asset_list).where(_c.generation == live_generation(NAME))
    if not retired:
        statement = statement.where(_c.retired.is_(False))
    if classification is not None:
        statement = statement.where(_c.classification == classification)
    if search:
        statement = statement.where(_c.sort_name.contains(search.casefold(), autoescape=True))
    with reading(engine) as connection:
        rows, next_cursor = read_page(connection, statement, BY_NAME, limit=limit, cursor=cursor)
    return Page(
        items=tuple(AssetEntry(**{name: row[name] for name in AssetEntry.model_fields}) for row in rows),
        next_cursor=next_cursor,
    )
