"""The incidents that are looked after: those that are open, and closed ones that still owe something."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Engine

from projections.deadlines.alarms import incidents_that_owe
from projections.severity_board.board import board

PAGE = 100


def looked_after(engine: Engine) -> Iterator[UUID]:
    """Each of them once. Nothing here grows with the incidents that are closed and done."""
    seen = set()
    cursor = None
    while True:
        page = board(engine, state=["open"], sort="opened", limit=PAGE, cursor=cursor)
        for entry in page.items:
            seen.add(entry.incident_id)
            yield entry.incident_id
        cursor = page.next_cursor
        if cursor is None:
            break
    # A final report counts from the end of the handling: a closed incident may owe one.
    yield from (incident_id for incident_id in incidents_that_owe(engine) if incident_id not in seen)
