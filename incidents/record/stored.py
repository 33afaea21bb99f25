"""The record's own tables as rows, for a backup: what the library keeps, position by position, on either database.

Nothing else reads or writes these tables beside the library; a backup must, because a restored event has to keep the
position it had (followers, projections and relays remember positions).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, column, func, insert, select, table, text

FOLLOWERS_OF_THE_LIBRARY = "__migration__"
"""A row of the library's own among the followers' positions; the library writes it when it makes the table."""

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class StoredRow:
    """An event as stored: `topic` is `kind/version`, `state` compact JSON."""

    position: int
    stream: UUID
    version: int
    topic: str
    state: bytes


def read_events(connection: Connection) -> Iterator[StoredRow]:
    """Every event, oldest first, as this transaction sees them."""
    events, position = _events(connection)
    wanted = select(
        events.c[position], events.c.originator_id, events.c.originator_version, events.c.topic, events.c.state
    ).order_by(events.c[position])
    for row in connection.execute(wanted, execution_options={"yield_per": _PAGE}):
        yield StoredRow(row[0], UUID(str(row[1])), row[2], row[3], bytes(row[4]))


def write_events(connection: Connection, rows: Sequence[StoredRow]) -> None:
    """Put events back at their positions. The tables must be there, and hold none of these."""
    events, position = _events(connection)
    on_server = connection.dialect.name == "postgresql"
    connection.execute(
        insert(events),
        [
            {
                position: row.position,
                "originator_id": row.stream if on_server else row.stream.hex,
                "originator_version": row.version,
                "topic": row.topic,
                "state": row.state,
            }
            for row in rows
        ],
    )


def read_positions(connection: Connection) -> dict[str, int]:
    """How far each follower has come."""
    tracking = _tracking(connection)
    rows = connection.execute(select(tracking.c.application_name, tracking.c.notification_id))
    return {name: position for name, position in rows if name != FOLLOWERS_OF_THE_LIBRARY}


def write_positions(connection: Connection, positions: dict[str, int]) -> None:
    """Put the followers back where they were."""
    if positions:
        rows = [{"application_name": name, "notification_id": at} for name, at in positions.items()]
        connection.execute(insert(_tracking(connection)), rows)


def go_on_after(connection: Connection, position: int) -> None:
    """Let the next event come after a position. SQLite does so by itself."""
    if connection.dialect.name == "postgresql" and position:
        sequence = connection.execute(
            text("SELECT pg_get_serial_sequence('tocsin_events', 'notification_id')")
        ).scalar_one()
        connection.execute(select(func.setval(sequence, position)))


def head_of(connection: Connection) -> int:
    """The position of the newest event, 0 when there is none."""
    events, position = _events(connection)
    found: int | None = connection.execute(select(func.max(events.c[position]))).scalar_one()
    return found or 0


def _events(connection: Connection) -> tuple[Any, str]:
    """The library's table, and the column that holds the position."""
    on_server = connection.dialect.name == "postgresql"
    name, position = ("tocsin_events", "notification_id") if on_server else ("stored_events", "rowid")
    columns = (position, "originator_id", "originator_version", "topic", "state")
    return table(name, *(column(one) for one in columns)), position


def _tracking(connection: Connection) -> Any:
    name = "tocsin_tracking" if connection.dialect.name == "postgresql" else "tracking"
    return table(name, column("application_name"), column("notification_id"))
