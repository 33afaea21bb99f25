"""Reading the deadlines. What depends on the present time is worked out here, from the `now` that is handed in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Engine, and_, select

from incidents.errors import InvalidInput, NotFound
from incidents.record import Event
from incidents.record.database import reading
from incidents.reference import reference_of
from playbooks.duties.events import OF_DUTY
from playbooks.duties.register import window_used
from projections.deadlines.fold import BLANK, SETTLED, duty_of, folded
from projections.deadlines.tables import NAME, deadline_duties
from projections.paging import (
    Order,
    Page,
    ReadModel,
    check_limit,
    decode_cursor,
    encode_cursor,
    read_instant,
    read_integer,
    read_page,
    read_text,
    read_uuid,
)
from projections.positions import live_generation
from projections.projection import incident_of
from projections.severity_board.tables import NAME as BOARD
from projections.severity_board.tables import board_incidents

Colour = Literal["calm", "watch", "warn", "urgent", "missed", "possible", "waiting", "paused", "settled", "late"]
"""How loud a duty is: `calm` below 50 % of its window, `watch` from 50, `warn` from 80, `urgent` from 95, `missed`
after its strict deadline; `possible` and `waiting` are not sure yet, `paused` waits as the law lets it; `settled` is
over, `late` over too late."""


class Deadline(ReadModel):
    """One duty. Instants are in UTC; `time_zone` is where the deadline is lived."""

    incident_id: UUID
    reference: str
    incident_title: str
    duty_id: str
    rule: str
    instrument: str
    article: str
    jurisdiction: str
    recipient: str
    recipient_kind: str
    stage: str
    status: str
    """`due`, `paused`, `possible`, `waiting_for_clock`, `exempt`, `waived`, `fulfilled`, `lifted` or `missed`."""
    clock_event: str
    clock_at: datetime | None
    strict_due: datetime | None
    legal_end: datetime | None
    reminder_at: datetime | None
    time_zone: str
    percent_used: float | None
    """Share of clock to strict deadline that has passed, 0 and up, one decimal; frozen when the duty is fulfilled."""
    remaining_seconds: int | None
    """To the strict deadline; negative after it. None without one, or when the duty is over."""
    colour: Colour
    warned_percent: int
    missed: bool
    """The strict deadline passed while it was open; stays true whatever comes later."""
    late: bool | None
    """Settled at fulfilment: whether the filing came after the legal end. None before."""
    promptness: str | None
    """The law's own word where there is no number, or beside one (`immediate`, `prompt` ...)."""
    earliest_deadline: datetime | None
    """For a possible duty: when it would have to be done if the unknown facts fell that way."""
    ends_with_day: bool
    """The deadline ends with a local day: `strict_due` is 00:00 of the next one."""
    recipient_names: Mapping[str, str]
    instrument_titles: Mapping[str, str]
    content_texts: Mapping[str, Mapping[str, str]]
    """What each item of `contents` asks for, by language."""
    exemptions: tuple[Mapping[str, Any], ...]
    note: str
    contents: tuple[str, ...]
    settle_by: tuple[str, ...]
    why: tuple[Any, ...]
    pack_version: str
    confidence: str
    delay: Mapping[str, Any] | None
    """The waiting that counts for it: who asked, since and until when, whether it runs, and when it is due then."""
    delayable_by: tuple[str, ...]
    """Who may ask that it wait."""
    retention: Mapping[str, Any] | None
    """How long a record is kept, where that is what the rule says."""
    assigned_to: str | None
    """Id of the owner that it was given to."""
    assigned_by: str | None
    assigned_at: datetime | None
    incident_assignee: str | None
    owner: Mapping[str, Any] | None = None
    """Who is warned: `id`, `name` and `by` (`assignment`, `rule`, `incident` or `default`). Filled in at the door."""
    filed_for_parts: tuple[Mapping[str, Any], ...] = ()
    """Submissions of the same duty by incidents that became part of this one: `reference` and `submitted_at` of each.
    They fulfil nothing here until somebody says that they told of the whole. Filled in at the door."""
    waived_by: str | None
    waived_at: datetime | None
    waiver_reason: str | None
    lifted_reason: str | None
    called_out_at: datetime | None
    """When the present warning, or the missed deadline, was recorded."""
    acknowledged_by: str | None
    """Who acknowledged a warning last. A later step warns anew."""
    acknowledged_at: datetime | None
    fulfilled_at: datetime | None
    fulfilled_by: str | None
    fulfilled_how: str | None
    identified_at: datetime
    updated_at: datetime


_c = deadline_duties.c
PRESSING = Order(
    "deadline",
    (_c.rank, _c.due_sort, _c.incident_id, _c.duty_id),
    (read_integer, read_instant, read_uuid, read_text),
)
_SELECT = select(
    deadline_duties,
    board_incidents.c.title.label("incident_title"),
    board_incidents.c.assignee.label("incident_assignee"),
).select_from(
    deadline_duties.outerjoin(
        board_incidents,
        and_(
            board_incidents.c.generation == live_generation(BOARD),
            board_incidents.c.incident_id == _c.incident_id,
        ),
    )
)


def deadlines(
    engine: Engine,
    *,
    now: datetime,
    incident_id: UUID | None = None,
    include: Literal["open", "all"] = "open",
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Deadline]:
    """The duties: possible ones, then by strict deadline, then those that wait for their clock, then settled ones.

    `include="open"` leaves out what is waived, lifted, fulfilled or exempt.
    """
    if include not in ("open", "all"):
        raise InvalidInput("Include is one of: open, all.", field="include")
    statement = _SELECT.where(_c.generation == live_generation(NAME))
    if incident_id is not None:
        statement = statement.where(_c.incident_id == incident_id)
    if include == "open":
        statement = statement.where(_c.rank < SETTLED)
    with reading(engine) as connection:
        rows, next_cursor = read_page(connection, statement, PRESSING, limit=limit, cursor=cursor)
    return Page(items=tuple(_deadline(row, now) for row in rows), next_cursor=next_cursor)


def deadlines_as_of(
    events: Iterable[Event],
    *,
    as_of: datetime,
    incident_title: str,
    incident_assignee: str | None = None,
    include: Literal["open", "all"] = "open",
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Deadline]:
    """The duties of one incident as they were on record at an instant, in the same form and order.

    `events` is the stream of its duties up to then. Shares of windows and remaining times are those of `as_of`.
    """
    rows: dict[str, dict[str, Any]] = {}
    of_incident = {"incident_title": incident_title, "incident_assignee": incident_assignee}
    for event in events:
        if not isinstance(event, OF_DUTY):
            continue
        duty_id = duty_of(event)
        before = rows.get(duty_id)
        blank = {"incident_id": incident_of(event), "duty_id": duty_id, **of_incident}
        rows[duty_id] = {**(BLANK | blank if before is None else before), **folded(before, event)}
    found = sorted(
        (row for row in rows.values() if include == "all" or row["rank"] < SETTLED),
        key=_place,
    )
    if cursor is not None:
        after_this = tuple(decode_cursor(cursor, PRESSING.name, PRESSING.readers))
        found = [row for row in found if _place(row) > after_this]
    page = found[: check_limit(limit)]
    return Page(
        items=tuple(_deadline(row, as_of) for row in page),
        next_cursor=encode_cursor(PRESSING.name, list(_place(page[-1]))) if len(found) > limit else None,
    )


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column.key] for column in PRESSING.columns)


def deadline(engine: Engine, incident_id: UUID, duty_id: str, *, now: datetime) -> Deadline:
    """One duty of an incident. NotFound when it is not on record (yet)."""
    statement = _SELECT.where(
        _c.generation == live_generation(NAME), _c.incident_id == incident_id, _c.duty_id == duty_id
    )
    with reading(engine) as connection:
        row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no duty {duty_id[:80]!r} on record for this incident.", field="duty_id")
    return _deadline(row, now)


def _deadline(row: Mapping[Any, Any], now: datetime) -> Deadline:
    plain = {name: row[name] for name in Deadline.model_fields if name in row}
    for name in ("contents", "settle_by", "why", "exemptions", "delayable_by"):
        plain[name] = tuple(row[name] or ())
    for name in ("recipient_names", "instrument_titles", "content_texts"):
        plain[name] = row[name] or {}
    status = _status(row)
    due = row["strict_due"]
    open_ = row["rank"] < SETTLED
    at = now if row["fulfilled_at"] is None else row["fulfilled_at"]
    percent = None
    if due is not None and row["clock_at"] is not None and (open_ or row["fulfilled_at"] is not None):
        percent = round(window_used(row["clock_at"], due, at), 1)
    remaining = math.floor((due - now).total_seconds()) if due is not None and open_ else None
    return Deadline(
        **(plain | {"incident_title": row["incident_title"] or ""} | {"incident_assignee": row["incident_assignee"]}),
        reference=reference_of(row["incident_id"]),
        status=status,
        percent_used=percent,
        remaining_seconds=remaining,
        colour=_colour(status, percent, remaining, late=bool(row["late"])),
    )


def _status(row: Mapping[Any, Any]) -> str:
    if row["fulfilled_at"] is not None:
        return "fulfilled"
    if row["lifted"]:
        return "lifted"
    if row["waived"]:
        return "waived"
    derived: str = row["derived_status"]
    return "missed" if row["missed"] and derived == "due" else derived


def _colour(status: str, percent: float | None, remaining: int | None, *, late: bool) -> Colour:
    if status in ("fulfilled", "waived", "lifted", "exempt"):
        return "late" if late else "settled"
    if status == "missed" or (status == "due" and remaining is not None and remaining < 0):
        return "missed"
    if status in _UNCLOCKED:
        return _UNCLOCKED[status]
    for colour, from_percent in _LOUDNESS:
        if percent is not None and percent >= from_percent:
            return colour
    return "calm"


_UNCLOCKED: Mapping[str, Colour] = {"paused": "paused", "waiting_for_clock": "waiting", "possible": "possible"}
_LOUDNESS: tuple[tuple[Colour, int], ...] = (("urgent", 95), ("warn", 80), ("watch", 50))
