"""What the board page shows, gathered from the read models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from incidents.errors import NotFound
from projections.deadlines.deadlines import Deadline, deadline, deadlines
from projections.severity_board.board import BoardEntry, board
from projections.tasks.tasks import Task, tasks
from projections.timeline.timeline import StepTitles, TimelineEntry, timeline
from tocsin.services import Services
from tocsin.steps_named import steps_named

ROWS = 40
SIDE_ROWS = 8
LATELY_ROWS = 10
LATELY_OF = 5
_CLOSED = ("closed", "merged")
_SILENT = frozenset({"settled", "late"})


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One incident, and the clock that runs out first (None: none is running)."""

    entry: BoardEntry
    clock: Deadline | None


@dataclass(frozen=True, slots=True)
class Totals:
    """The figures above the board. `more`: they count the rows shown, and there are others."""

    incidents: int
    missed: int
    duties: int
    tasks: int
    more: bool


@dataclass(frozen=True, slots=True)
class BoardPage:
    """Everything on the page."""

    rows: tuple[BoardRow, ...]
    next_cursor: str | None
    totals: Totals
    deadlines: tuple[Deadline, ...]
    tasks: tuple[Task, ...]
    closed: tuple[BoardEntry, ...]
    lately: tuple[TimelineEntry, ...]
    """The newest entries of the incidents on top."""
    references: Mapping[UUID, str]
    recipients: Mapping[str, Mapping[str, str]]
    """Names of recipients, by duty."""
    named: tuple[Deadline, ...]
    """Duties, open and settled, whose names stand in the sentences of `lately`."""
    steps: StepTitles
    """Titles of the steps that `lately` speaks of."""
    behind: int


def gather(services: Services, now: datetime, *, search: str | None, cursor: str | None) -> BoardPage:
    """The page's content. InvalidInput for a cursor or a search that cannot be."""
    engine = services.engine
    page = board(engine, state="open", search=search, cursor=cursor, limit=ROWS)
    waiting = tasks(engine, limit=SIDE_ROWS)
    due = deadlines(engine, now=now, limit=200).items
    lately = _lately(services, [entry.incident_id for entry in page.items])
    closed = board(engine, state=list(_CLOSED), search=search, sort="updated", limit=6)
    return BoardPage(
        rows=tuple(BoardRow(entry, _clock(services, entry, now)) for entry in page.items),
        next_cursor=page.next_cursor,
        totals=Totals(
            incidents=len(page.items),
            missed=sum(entry.duties_missed for entry in page.items),
            duties=sum(entry.duties_open for entry in page.items),
            tasks=len(waiting.items),
            more=page.next_cursor is not None or cursor is not None,
        ),
        deadlines=_loudest(due),
        tasks=waiting.items,
        closed=closed.items if cursor is None else (),
        lately=lately,
        references={entry.incident_id: entry.reference for entry in page.items},
        recipients={duty.duty_id: duty.recipient_names for duty in due},
        named=_named(services, lately, due, now),
        steps=steps_named(services, lately),
        behind=max((lag.behind for lag in services.projections.lag()), default=0),
    )


def _named(
    services: Services, lately: tuple[TimelineEntry, ...], due: tuple[Deadline, ...], now: datetime
) -> tuple[Deadline, ...]:
    """The open duties, and those settled ones that are spoken of."""
    known = {duty.duty_id for duty in due}
    spoken_of = dict.fromkeys((entry.incident_id, entry.duty) for entry in lately if entry.duty)
    others = [_duty(services, incident, duty, now) for incident, duty in spoken_of if duty not in known]
    return (*due, *(duty for duty in others if duty is not None))


def _clock(services: Services, entry: BoardEntry, now: datetime) -> Deadline | None:
    if entry.next_duty is None:
        return None
    return _duty(services, entry.incident_id, entry.next_duty.duty_id, now)


def _duty(services: Services, incident_id: UUID, duty_id: str, now: datetime) -> Deadline | None:
    try:
        return deadline(services.engine, incident_id, duty_id, now=now)
    except NotFound:
        return None  # the two read models are a moment apart; the next refresh shows it


def _loudest(found: tuple[Deadline, ...]) -> tuple[Deadline, ...]:
    """What is owed, the first to run out on top; what has no time at all comes last."""
    open_now = [one for one in found if one.colour not in _SILENT]
    return tuple(sorted(open_now, key=pressing)[:SIDE_ROWS])


def pressing(duty: Deadline) -> tuple[int, int, float]:
    """Order of open duties: clocks that run before those that may, numbers of the law before reminders of ours."""
    moment = duty.strict_due or duty.reminder_at or duty.earliest_deadline
    sure = 0 if duty.status in {"due", "missed"} else 1
    return sure, duty.strict_due is None, moment.timestamp() if moment is not None else float("inf")


def _lately(services: Services, incidents: list[UUID]) -> tuple[TimelineEntry, ...]:
    entries = [
        entry
        for incident_id in incidents[:LATELY_OF]
        for entry in timeline(services.engine, incident_id, newest_first=True, minor=False, limit=LATELY_ROWS).items
    ]
    return tuple(sorted(entries, key=lambda entry: -entry.position)[:LATELY_ROWS])
