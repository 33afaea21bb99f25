"""Reading the severity board."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import Connection, Engine, Integer, Select, exists, func, literal, select

from incidents.errors import InvalidInput, NotFound
from incidents.record.database import reading
from incidents.reference import parse_reference
from projections.coverage.coverage import STORED, Outcomes
from projections.coverage.tables import NAME as COVERAGE
from projections.coverage.tables import coverage_campaigns
from projections.paging import (
    Order,
    Page,
    ReadModel,
    read_instant,
    read_integer,
    read_page,
    read_uuid,
)
from projections.positions import live_generation
from projections.projection import LAST_INSTANT
from projections.severity_board.fold import CLOSED_STATES
from projections.severity_board.tables import NAME, board_grades, board_incidents

Sort = Literal["deadline", "opened", "updated", "severity"]

SEVERITIES = ("unknown", "informational", "low", "medium", "high", "critical", "fatal")
"""By OCSF `severity_id` 0 to 6 (99, other, counts as unknown)."""

STATES = ("reported", "triaged", "contained", "eradicated", "recovered", "closed", "merged")

MAX_SEARCH = 200


class Grade(ReadModel):
    """The level a scheme gives an incident. `open_criteria` counts those that unknown facts leave open."""

    scheme: str
    scheme_version: str
    level: str | None
    overridden: bool
    open_criteria: int
    graded_at: datetime


class NextDuty(ReadModel):
    """The open duty whose deadline is first."""

    duty_id: str
    rule: str
    recipient: str
    possible: bool
    """Unknown facts decide whether the duty exists; `due_at` is then the earliest it could be."""
    due_at: datetime
    """The strict deadline."""


class CampaignProgress(Outcomes):
    """All campaigns of an incident together, in recipients (drills left out)."""

    campaigns: int


class BoardEntry(ReadModel):
    """One incident on the board."""

    incident_id: UUID
    reference: str
    title: str
    state: str
    reported_by: str
    severity: str
    """The worst severity among its alerts, one of `SEVERITIES`."""
    grades: tuple[Grade, ...]
    assignee: str | None
    merged_into: UUID | None
    opened_at: datetime
    updated_at: datetime
    alerts: int
    duties_open: int
    duties_missed: int
    next_duty: NextDuty | None
    persons_affected: int | None
    """None while unknown."""
    campaigns: CampaignProgress


_c = board_incidents.c
_ORDERS = {
    order.name: order
    for order in (
        Order("deadline", (_c.next_due_sort, _c.incident_id), (read_instant, read_uuid)),
        Order("opened", (_c.opened_at, _c.incident_id), (read_instant, read_uuid), descending=True),
        Order("updated", (_c.updated_at, _c.incident_id), (read_instant, read_uuid), descending=True),
        Order("severity", (_c.severity_rank, _c.incident_id), (read_integer, read_uuid), descending=True),
    )
}


def board(
    engine: Engine,
    *,
    state: str | Sequence[str] | None = None,
    level: str | None = None,
    scheme: str | None = None,
    search: str | None = None,
    assignee: str | None = None,
    sort: Sort = "deadline",
    limit: int = 50,
    cursor: str | None = None,
) -> Page[BoardEntry]:
    """The board: by default the incident whose deadline comes first on top, those without one last.

    `state` is one of `STATES`, several of them, or `open` (neither closed nor merged). `level` is a level of any
    scheme, or of `scheme`. `search` finds in title and reference, without regard to case. InvalidInput names the
    field that is wrong.
    """
    if sort not in _ORDERS:
        raise InvalidInput(f"Sort by one of: {', '.join(_ORDERS)}.", field="sort")
    statement = select(board_incidents).where(_c.generation == live_generation(NAME))
    statement = _filtered(statement, state=state, level=level, scheme=scheme, search=search, assignee=assignee)
    with reading(engine) as connection:
        rows, next_cursor = read_page(connection, statement, _ORDERS[sort], limit=limit, cursor=cursor)
        items = _entries(connection, [dict(row) for row in rows])
    return Page(items=tuple(items), next_cursor=next_cursor)


def board_entry(engine: Engine, incident_id: UUID) -> BoardEntry:
    """One incident's entry. NotFound when the board does not show it (yet)."""
    statement = select(board_incidents).where(_c.generation == live_generation(NAME), _c.incident_id == incident_id)
    with reading(engine) as connection:
        rows = [dict(row) for row in connection.execute(statement).mappings()]
        if not rows:
            raise NotFound(f"There is no incident {incident_id} on the board.", field="incident_id")
        return _entries(connection, rows)[0]


def find_by_reference(engine: Engine, reference: str) -> UUID:
    """The incident that a reference names (`INC-7F3K-9Q2M`, in any spelling that can be read).

    InvalidInput when it is no reference, or when by a rare chance two incidents share it; NotFound when none has it.
    """
    wanted = parse_reference(reference)
    statement = select(_c.incident_id).where(_c.generation == live_generation(NAME), _c.reference == wanted)
    with reading(engine) as connection:
        found = connection.execute(statement).scalars().all()
    if not found:
        raise NotFound(f"There is no incident {wanted}.", field="reference")
    if len(found) > 1:
        ids = ", ".join(str(incident_id) for incident_id in found)
        raise InvalidInput(f"{wanted} names several incidents; use one of their ids: {ids}.", field="reference")
    return cast(UUID, found[0])


def _filtered(
    statement: Select[Any],
    *,
    state: str | Sequence[str] | None,
    level: str | None,
    scheme: str | None,
    search: str | None,
    assignee: str | None,
) -> Select[Any]:
    if state is not None:
        wanted = _states(state)
        if set(wanted) == set(STATES) - CLOSED_STATES:
            statement = statement.where(_c.is_open.is_(True))  # this one has an index of its own
        else:
            statement = statement.where(_c.state.in_(wanted))
    if level is not None or scheme is not None:
        graded = select(board_grades.c.incident_id).where(
            board_grades.c.generation == live_generation(NAME), board_grades.c.incident_id == _c.incident_id
        )
        if level is not None:
            graded = graded.where(board_grades.c.level == level)
        if scheme is not None:
            graded = graded.where(board_grades.c.scheme == scheme)
        statement = statement.where(exists(graded))
    if assignee is not None:
        statement = statement.where(_c.assignee == assignee)
    if search is not None and search.strip():
        if len(search) > MAX_SEARCH or "\x00" in search:
            raise InvalidInput(f"A search has at most {MAX_SEARCH} characters.", field="search")
        statement = statement.where(_c.search_text.contains(search.strip().casefold(), autoescape=True))
    return statement


def _states(state: str | Sequence[str]) -> list[str]:
    wanted: list[str] = []
    for one in (state,) if isinstance(state, str) else state:
        if one == "open":
            wanted += STATES[:5]
        elif one in STATES:
            wanted.append(one)
        else:
            raise InvalidInput(f"A state is one of: open, {', '.join(STATES)}.", field="state")
    return wanted


def _entries(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[BoardEntry]:
    ids = [row["incident_id"] for row in rows]
    grades = _grades_of(connection, ids)
    campaigns = _campaigns_of(connection, ids)
    none = CampaignProgress(**dict.fromkeys(CampaignProgress.model_fields, 0))
    return [
        BoardEntry(
            **{name: row[name] for name in _PLAIN},
            severity=SEVERITIES[row["severity_rank"]],
            grades=tuple(grades[row["incident_id"]]),
            next_duty=_next_duty(row),
            persons_affected=(row["persons_stated"] if row["persons_stated"] is not None else row["persons_counted"]),
            campaigns=campaigns.get(row["incident_id"], none),
        )
        for row in rows
    ]


_PLAIN = (
    "incident_id",
    "reference",
    "title",
    "state",
    "reported_by",
    "assignee",
    "merged_into",
    "opened_at",
    "updated_at",
    "alerts",
    "duties_open",
    "duties_missed",
)


def _next_duty(row: dict[str, Any]) -> NextDuty | None:
    if row["next_duty"] is None or row["next_due_sort"] == LAST_INSTANT:
        return None
    return NextDuty(
        duty_id=row["next_duty"],
        rule=row["next_rule"],
        recipient=row["next_recipient"],
        possible=row["next_possible"],
        due_at=row["next_due_sort"],
    )


def _grades_of(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[Grade]]:
    g = board_grades.c
    found: dict[UUID, list[Grade]] = defaultdict(list)
    statement = (
        select(board_grades)
        .where(g.generation == live_generation(NAME), g.incident_id.in_(ids))
        .order_by(g.incident_id, g.scheme)
    )
    for row in connection.execute(statement).mappings():
        found[row["incident_id"]].append(Grade(**{name: row[name] for name in Grade.model_fields}))
    return found


def _campaigns_of(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, CampaignProgress]:
    k = coverage_campaigns.c
    settled = sum((k[column] for column in STORED.values()), start=literal(0, Integer))
    statement = (
        select(
            k.incident_id,
            func.count().label("campaigns"),
            func.sum(k.planned).label("planned"),
            *(func.sum(k[column]).label(name) for name, column in STORED.items()),
            func.sum(k.planned - settled).label("pending"),
        )
        .where(k.generation == live_generation(COVERAGE), k.incident_id.in_(ids), k.drill.is_(False))
        .group_by(k.incident_id)
    )
    return {
        row["incident_id"]: CampaignProgress(**{n: row[n] for n in CampaignProgress.model_fields})
        for row in connection.execute(statement).mappings()
    }
