"""Reading the asset list."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, and_, select

from incidents.record.database import reading
from projections.assets.tables import NAME, asset_links, asset_list
from projections.paging import Order, Page, ReadModel, read_page, read_text, read_uuid
from projections.positions import live_generation
from projections.severity_board.tables import NAME as BOARD
from projections.severity_board.tables import board_incidents


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
_l = asset_links.c
BY_NAME = Order("name", (_c.sort_name, _c.asset_id), (read_text, read_uuid))


def incidents_of(engine: Engine, asset_id: UUID) -> list[UUID]:
    """The incidents that an asset is linked to and that are neither closed nor merged."""
    statement = (
        select(_l.incident_id)
        .select_from(asset_links)
        .join(
            board_incidents,
            and_(
                board_incidents.c.generation == live_generation(BOARD), board_incidents.c.incident_id == _l.incident_id
            ),
        )
        .where(
            _l.generation == live_generation(NAME),
            _l.asset_id == asset_id,
            board_incidents.c.state.not_in(("closed", "merged")),
        )
        .order_by(_l.incident_id)
    )
    with reading(engine) as connection:
        return list(connection.execute(statement).scalars())


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
