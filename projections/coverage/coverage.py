"""Reading campaign coverage."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, select

from incidents.errors import NotFound
from incidents.record.database import reading
from projections.coverage.tables import NAME, coverage_campaigns, coverage_cells
from projections.paging import Order, Page, ReadModel, read_instant, read_page, read_uuid
from projections.positions import live_generation


class Outcomes(ReadModel):
    """A partition of recipients, to the last person:
    planned = accepted + delivered + failed + suppressed + cancelled + ambiguous + pending."""

    planned: int
    accepted: int
    """A provider accepted or sent it; nothing later is known."""
    delivered: int
    """A receipt, or the person, confirmed that it arrived."""
    failed: int
    """Every delivery so far failed."""
    suppressed: int
    """Every address is on the list of those not to be written to."""
    cancelled: int
    """The campaign was cancelled before they were told."""
    ambiguous: int
    """It cannot be told whether the provider took it."""
    pending: int
    """Not tried yet, or being handed over right now."""


class Counts(ReadModel):
    """Recipients by outcome within one channel or language. `planned` is what the audience holds of it."""

    planned: int
    accepted: int
    delivered: int
    failed: int
    suppressed: int
    cancelled: int
    ambiguous: int
    trying: int


STORED = {"accepted": "in_flight", "delivered": "reached"} | {
    name: name for name in ("failed", "suppressed", "cancelled", "ambiguous")
}
"""The columns that hold the settled parts of `Outcomes`, by the parts' names."""


class CampaignCoverage(ReadModel):
    """One campaign and how far it has come."""

    campaign_id: UUID
    incident_id: UUID
    run_id: UUID | None
    step: str | None
    template: str
    template_version: str
    duties: tuple[str, ...]
    drill: bool
    state: str
    """`drafted`, `approval_requested`, `approved`, `rejected`, `sending`, `paused`, `cancelled` (what is on the wire is
    being settled) or `finished`."""
    outcomes: Outcomes
    by_channel: Mapping[str, Counts]
    """By the channel that decides each recipient's outcome. Planned counts overlap: a person may have several."""
    by_language: Mapping[str, Counts]
    """The empty name holds recipients whose language the record does not say."""
    audience_id: UUID | None
    audience_digest: str | None
    text_digest: str | None
    drafted_by: str | None
    drafted_at: datetime | None
    requested_by: str | None
    requested_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    override_reason: str | None
    rejected_by: str | None
    rejected_at: datetime | None
    rejected_reason: str | None
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime


_c = coverage_campaigns.c
MOVED_LAST = Order("updated", (_c.updated_at, _c.campaign_id), (read_instant, read_uuid), descending=True)


def campaign_coverage(engine: Engine, campaign_id: UUID) -> CampaignCoverage:
    """One campaign. NotFound when there is none of that id (yet)."""
    with reading(engine) as connection:
        found = _read(connection, campaign_id=campaign_id)
    if not found:
        raise NotFound(f"There is no campaign {campaign_id}.", field="campaign_id")
    return found[0]


def campaigns_of(engine: Engine, incident_id: UUID) -> tuple[CampaignCoverage, ...]:
    """The campaigns of an incident, oldest first."""
    with reading(engine) as connection:
        found = _read(connection, incident_id=incident_id)
    return tuple(sorted(found, key=lambda one: (one.drafted_at is None, one.drafted_at, one.campaign_id.int)))


def campaigns(
    engine: Engine, *, state: str | None = None, limit: int = 50, cursor: str | None = None
) -> Page[CampaignCoverage]:
    """All campaigns, the one that moved last on top."""
    statement = select(coverage_campaigns).where(_c.generation == live_generation(NAME))
    if state is not None:
        statement = statement.where(_c.state == state)
    with reading(engine) as connection:
        rows, next_cursor = read_page(connection, statement, MOVED_LAST, limit=limit, cursor=cursor)
        items = _with_cells(connection, rows)
    return Page(items=tuple(items), next_cursor=next_cursor)


def _read(connection: Connection, **wanted: UUID) -> list[CampaignCoverage]:
    statement = select(coverage_campaigns).where(_c.generation == live_generation(NAME))
    for name, value in wanted.items():
        statement = statement.where(_c[name] == value)
    return _with_cells(connection, connection.execute(statement).mappings().all())


def _with_cells(connection: Connection, rows: Sequence[RowMapping]) -> list[CampaignCoverage]:
    k = coverage_cells.c
    cells: dict[UUID, list[Any]] = defaultdict(list)
    statement = select(coverage_cells).where(
        k.generation == live_generation(NAME), k.campaign_id.in_([row["campaign_id"] for row in rows])
    )
    for cell in connection.execute(statement):
        cells[cell.campaign_id].append(cell)
    return [_campaign(row, cells[row["campaign_id"]]) for row in rows]


def _campaign(row: RowMapping, cells: Sequence[Any]) -> CampaignCoverage:
    plain = {name: row[name] for name in CampaignCoverage.model_fields if name in row}
    plain["duties"] = tuple(row["duties"] or ())
    settled = {name: row[column] for name, column in STORED.items()}
    # Should deliveries reach more people than were announced, the announcement is what is wrong.
    planned = max(row["planned"], sum(settled.values()) + row["trying"])
    return CampaignCoverage(
        **plain,
        outcomes=Outcomes(planned=planned, pending=planned - sum(settled.values()), **settled),
        by_channel=_split("channel", row["planned_by_channel"] or {}, cells),
        by_language=_split("language", row["planned_by_language"] or {}, cells),
    )


def _split(part: str, planned: Mapping[str, int], cells: Sequence[Any]) -> dict[str, Counts]:
    counts: dict[str, Counter[str]] = {name: Counter() for name in planned}
    for cell in cells:
        if cell.recipients:
            counts.setdefault(getattr(cell, part), Counter())[cell.outcome] += cell.recipients
    return {
        name: Counts(
            planned=planned.get(name, 0),
            trying=some["trying"],
            **{outcome: some[column] for outcome, column in STORED.items()},
        )
        for name, some in sorted(counts.items())
    }
