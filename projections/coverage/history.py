"""What became of one recipient: the part they count to, and each delivery with its moves as the record has them.

Read from rows that say in which events a person's moves are, so that a look costs the same in a campaign of millions.
Nothing here names a person: recipients are random ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, select

from incidents.errors import NotFound
from incidents.record import Record, stable_id
from incidents.record.database import reading
from notifier.audience.tables import audience_members
from notifier.campaigns.events import DeliveriesCancelled, DeliveriesRecorded
from projections.coverage.coverage import STORED
from projections.coverage.fold import TRYING, outcome_of
from projections.coverage.tables import NAME, coverage_campaigns, coverage_deliveries
from projections.paging import ReadModel
from projections.positions import live_generation

PAGE = 1000
_PART_OF = {column: name for name, column in STORED.items()} | {TRYING: "pending"}
_d, _m = coverage_deliveries.c, audience_members.c


class MoveShown(ReadModel):
    """One move of a delivery, and the event that holds it."""

    state: str
    at: datetime
    code: str | None
    provider_id: str | None
    event: str
    """`event:<stream>/<version>`: where an auditor finds it in the record."""
    recorded_at: datetime


class DeliveryShown(ReadModel):
    """One attempt on one channel."""

    delivery_id: UUID
    channel: str
    language: str
    state: str
    """As far as it came; a late report of an earlier state does not move it back."""
    moves: tuple[MoveShown, ...]


class PersonHistory(ReadModel):
    """What became of one recipient in one campaign."""

    campaign_id: UUID
    incident_id: UUID
    template: str
    drill: bool
    campaign_state: str
    started_at: datetime | None
    finished_at: datetime | None
    recipient_id: UUID
    position: int
    language: str
    channels: tuple[str, ...]
    """By which the person can be reached at all."""
    outcome: str
    """`accepted`, `delivered`, `failed`, `suppressed`, `cancelled`, `ambiguous` or `pending`."""
    deliveries: tuple[DeliveryShown, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One recipient for a file: the outcome, and the deliveries as rows."""

    position: int
    recipient_id: UUID
    language: str
    outcome: str
    deliveries: tuple[Mapping[str, Any], ...]
    channels: tuple[str, ...] = ()


def histories(engine: Engine, record: Record, recipients: Mapping[UUID, UUID]) -> tuple[PersonHistory, ...]:
    """The histories of these people (audience by recipient) in every campaign to their audiences, newest first."""
    c = coverage_campaigns.c
    found: list[PersonHistory] = []
    with reading(engine) as connection:
        campaigns = connection.execute(
            select(coverage_campaigns).where(
                c.generation == live_generation(NAME), c.audience_id.in_(set(recipients.values()))
            )
        ).all()
        members = {
            member.recipient_id: member
            for member in connection.execute(select(audience_members).where(_m.recipient_id.in_(list(recipients))))
        }
        for campaign in campaigns:
            mine = [person for person, audience in recipients.items() if audience == campaign.audience_id]
            rows = _deliveries(connection, campaign.campaign_id, mine)
            found += [_history(record, campaign, members[person], rows[person]) for person in mine if person in members]
    return tuple(sorted(found, key=lambda one: (one.started_at is None, one.started_at or _LONG_AGO), reverse=True))


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def campaign_of(engine: Engine, campaign_id: UUID) -> Any:
    """The campaign's own row. NotFound when there is none, or it has no audience yet."""
    c = coverage_campaigns.c
    with reading(engine) as connection:
        row = connection.execute(
            select(coverage_campaigns).where(c.generation == live_generation(NAME), c.campaign_id == campaign_id)
        ).first()
    if row is None or row.audience_id is None:
        raise NotFound(f"There is no campaign {campaign_id} with an audience.", field="campaign_id")
    return row


def lines(engine: Engine, campaign: Any) -> Iterator[Line]:
    """Everybody in the campaign's audience, by position, page by page: memory does not grow with the audience."""
    after = 0
    while True:
        with reading(engine) as connection:
            members = connection.execute(
                select(_m.position, _m.recipient_id, _m.language, _m.has_sms, _m.has_email, _m.has_im, _m.has_post)
                .where(_m.audience_id == campaign.audience_id, _m.position > after)
                .order_by(_m.position)
                .limit(PAGE)
            ).all()
            rows = _deliveries(connection, campaign.campaign_id, [member.recipient_id for member in members])
        for member in members:
            mine = rows[member.recipient_id]
            outcome = _outcome(campaign, mine)
            person = (member.position, member.recipient_id, member.language)
            yield Line(*person, outcome, tuple(mine), _channels(member))
        if len(members) < PAGE:
            return
        after = members[-1].position


def _deliveries(
    connection: Connection, campaign_id: UUID, recipients: Sequence[UUID]
) -> defaultdict[UUID, list[dict[str, Any]]]:
    found: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for start in range(0, len(recipients), 500):
        rows = connection.execute(
            select(coverage_deliveries)
            .where(
                _d.generation == live_generation(NAME),
                _d.campaign_id == campaign_id,
                _d.recipient.in_(recipients[start : start + 500]),
            )
            .order_by(_d.recipient, _d.moved_at, _d.delivery)
        )
        for row in rows.mappings():
            found[row["recipient"]].append(dict(row))
    return found


def _outcome(campaign: Any, mine: Iterable[dict[str, Any]]) -> str:
    outcome = outcome_of(mine)
    if outcome is None:
        # Whoever has no move when a campaign is over was called off before anybody tried.
        return "cancelled" if campaign.state == "finished" else "pending"
    return _PART_OF[outcome]


def _history(record: Record, campaign: Any, member: Any, rows: Sequence[dict[str, Any]]) -> PersonHistory:
    moves = _moves(record, campaign.campaign_id, member.recipient_id, rows)
    return PersonHistory(
        campaign_id=campaign.campaign_id,
        incident_id=campaign.incident_id,
        template=campaign.template,
        drill=campaign.drill,
        campaign_state=campaign.state,
        started_at=campaign.started_at,
        finished_at=campaign.finished_at,
        recipient_id=member.recipient_id,
        position=member.position,
        language=member.language,
        channels=_channels(member),
        outcome=_outcome(campaign, rows),
        deliveries=tuple(
            DeliveryShown(
                delivery_id=row["delivery"],
                channel=row["channel"],
                language=row["language"],
                state=row["state"],
                moves=tuple(moves[row["delivery"]]),
            )
            for row in rows
        ),
    )


_REACHES = (("sms", "has_sms"), ("email", "has_email"), ("im", "has_im"), ("letter", "has_post"))


def _channels(member: Any) -> tuple[str, ...]:
    """By which a person can be reached at all; a telephone number stands for calls too."""
    return tuple(name for name, column in _REACHES if getattr(member, column))


def _moves(
    record: Record, campaign_id: UUID, recipient: UUID, rows: Sequence[dict[str, Any]]
) -> defaultdict[UUID, list[MoveShown]]:
    stream = stable_id("deliveries", str(campaign_id))
    versions = sorted({int(version) for row in rows for version in row["versions"].split(",") if version})
    found: defaultdict[UUID, list[MoveShown]] = defaultdict(list)
    for first, last in _runs(versions):
        for event in record.events.get(stream, gt=first - 1, lte=last):
            if not isinstance(event, DeliveriesRecorded | DeliveriesCancelled):
                continue
            for move in event.moves:
                if move.recipient == recipient:
                    found[move.delivery].append(
                        MoveShown(
                            state=move.state,
                            at=move.at,
                            code=move.code,
                            provider_id=move.provider_id,
                            event=event.reference,
                            recorded_at=event.recorded_at,
                        )
                    )
    return found


def _runs(versions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Versions that follow one another as one reading."""
    if not versions:
        return
    first = versions[0]
    for before, after in pairwise(versions):
        if after != before + 1:
            yield first, before
            first = after
    yield first, versions[-1]
