"""Campaign coverage: each recipient stands in exactly one cell (outcome, channel, language), so the parts add up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Connection

from incidents.record import Event, Recorded
from notifier.campaigns import events as campaigns
from notifier.deliveries.states import RANK
from projections.coverage.tables import NAME, coverage_campaigns, coverage_cells, coverage_deliveries
from projections.projection import Projection, incident_of
from projections.rows import Row, Rows

REACHED, IN_FLIGHT, AMBIGUOUS, TRYING, FAILED = "reached", "in_flight", "ambiguous", "trying", "failed"
SUPPRESSED, CANCELLED = "suppressed", "cancelled"

OUTCOME_OF_STATE = {
    "planned": TRYING,
    "claimed": TRYING,
    "accepted": IN_FLIGHT,
    "sent": IN_FLIGHT,
    "delivered": REACHED,
    "read": REACHED,
    "ambiguous": AMBIGUOUS,
    "failed": FAILED,
    "undelivered": FAILED,
    "rejected": FAILED,
    "suppressed": SUPPRESSED,
    "cancelled": CANCELLED,
}
"""What a delivery's state means for its recipient."""

_RANK: dict[str, int] = {str(state): rank for state, rank in RANK.items()}

_BEST_FIRST = (REACHED, IN_FLIGHT, AMBIGUOUS, TRYING, CANCELLED, FAILED, SUPPRESSED)
"""With several deliveries to one recipient, the first of these that any of them has is the recipient's outcome. It is
what `notifier.deliveries.states.what_next` decides, once nothing is left to be tried."""

Cell = tuple[UUID, str, str, str]
Moves = dict[UUID, list[tuple[int, campaigns.DeliveryMove]]]
"""By campaign, with the version of the event that each move is in."""


_MOVES = (campaigns.DeliveriesRecorded, campaigns.DeliveriesCancelled)


class Coverage(Projection):
    """Who was told, by which channel, and who was not."""

    name = NAME
    version = 2
    events = campaigns.EVENTS
    tables: ClassVar = (coverage_campaigns, coverage_deliveries, coverage_cells)
    weights: ClassVar = {event.kind: lambda event: len(event.moves) for event in _MOVES}

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        rows = Rows(connection, coverage_campaigns, generation)
        rows.load({(campaign_of(recorded.event),) for recorded in batch})
        moves: Moves = defaultdict(list)
        changes: Counter[Cell] = Counter()
        for recorded in batch:
            event = recorded.event
            campaign_id = campaign_of(event)
            values = campaign_values(event)
            rows.put(campaign_id, incident_id=incident_of(event), updated_at=event.recorded_at, **values)
            if isinstance(event, _MOVES):
                moves[campaign_id].extend((event.originator_version, move) for move in event.moves)
            if isinstance(event, campaigns.DeliveriesCancelled):
                for channel, people in event.untried.items():
                    changes[campaign_id, CANCELLED, channel, ""] += people
        if moves:
            changes.update(_move(Rows(connection, coverage_deliveries, generation), moves))
        if changes:
            _count(rows, Rows(connection, coverage_cells, generation), changes)
        rows.flush()


def campaign_of(event: Event) -> UUID:
    """The campaign an event belongs to."""
    if isinstance(event, _MOVES):
        return event.campaign_id
    return event.originator_id


def campaign_values(event: Event) -> Row:
    """What an event changes in the campaign's own row."""
    fold = _FOLDS.get(type(event))
    return fold(event) if fold is not None else {}


_NO_APPROVAL: Row = {"approved_by": None, "approved_at": None, "override_reason": None}


def _drafted(event: Any) -> Row:
    return {
        "state": "drafted",
        "run_id": event.run_id,
        "step": event.step,
        "template": event.template,
        "template_version": event.template_version,
        "duties": list(event.duties),
        "drill": event.drill,
        "drafted_by": event.actor,
        "drafted_at": event.recorded_at,
    }


def _text_revised(_event: Any) -> Row:
    return {"state": "drafted", "text_digest": None, **_NO_APPROVAL}


def _audience_attached(event: Any) -> Row:
    return {
        "state": "drafted",
        "audience_id": event.audience_id,
        "audience_digest": event.audience_digest,
        "planned": event.recipients,
        "planned_by_language": event.by_language,
        "planned_by_channel": event.by_channel,
        **_NO_APPROVAL,
    }


def _approval_requested(event: Any) -> Row:
    return {
        "state": "approval_requested",
        "text_digest": event.text_digest,
        "audience_digest": event.audience_digest,
        "requested_by": event.actor,
        "requested_at": event.recorded_at,
    }


def _approved(event: Any) -> Row:
    return {
        "state": "approved",
        "text_digest": event.text_digest,
        "audience_digest": event.audience_digest,
        "approved_by": event.actor,
        "approved_at": event.recorded_at,
        "override_reason": event.override_reason,
    }


def _rejected(event: Any) -> Row:
    return {
        "state": "rejected",
        "rejected_by": event.actor,
        "rejected_at": event.recorded_at,
        "rejected_reason": event.reason,
    }


def _started(event: Any) -> Row:
    return {"state": "sending", "planned": event.recipients, "started_at": event.recorded_at}


def _finished(event: Any) -> Row:
    return {"state": "finished", "finished_at": event.recorded_at}


def _state(state: str) -> Callable[[Any], Row]:
    return lambda _event: {"state": state}


_FOLDS: dict[type[Event], Callable[[Any], Row]] = {
    campaigns.CampaignDrafted: _drafted,
    campaigns.CampaignTextRevised: _text_revised,
    campaigns.AudienceAttached: _audience_attached,
    campaigns.ApprovalRequested: _approval_requested,
    campaigns.CampaignApproved: _approved,
    campaigns.CampaignRejected: _rejected,
    campaigns.CampaignStarted: _started,
    campaigns.CampaignPaused: _state("paused"),
    campaigns.CampaignResumed: _state("sending"),
    campaigns.CampaignCancelled: _state("cancelled"),
    campaigns.CampaignFinished: _finished,
}


def _move(deliveries: Rows, moves: Moves) -> Counter[Cell]:
    """Apply the moves, and return how many recipients each cell won or lost by them."""
    touched = {(campaign, move.recipient) for campaign, some in moves.items() for _, move in some}
    deliveries.load(touched)
    by_recipient: dict[tuple[UUID, UUID], list[Row]] = {key: [] for key in touched}
    for row in deliveries:
        by_recipient[row["campaign_id"], row["recipient"]].append(row)
    changes: Counter[Cell] = Counter()
    for key, mine in by_recipient.items():
        if (cell := _cell(key[0], mine)) is not None:
            changes[cell] -= 1
    for campaign, some in moves.items():
        for version, move in some:
            _apply(deliveries, campaign, version, move, by_recipient[campaign, move.recipient])
    for key, mine in by_recipient.items():
        if (cell := _cell(key[0], mine)) is not None:
            changes[cell] += 1
    deliveries.flush()
    return changes


def _apply(deliveries: Rows, campaign: UUID, version: int, move: campaigns.DeliveryMove, mine: list[Row]) -> None:
    before = deliveries.get(campaign, move.recipient, move.delivery)
    if before is None:
        row = deliveries.put(
            campaign,
            move.recipient,
            move.delivery,
            channel=move.channel,
            state=move.state,
            language=move.language or "",
            moved_at=int(move.at.timestamp() * 1000),
            code=move.code,
            versions=str(version),
        )
        mine.append(row)
        return
    if str(version) not in (before["versions"] or "").split(",")[-1:]:
        versions = ",".join(filter(None, (before["versions"], str(version))))
        deliveries.put(campaign, move.recipient, move.delivery, versions=versions)
    taken_back = move.code == campaigns.TAKEN_BACK and before["state"] != "read"
    if taken_back or _RANK[move.state] > _RANK[before["state"]]:
        deliveries.put(
            campaign,
            move.recipient,
            move.delivery,
            state=move.state,
            moved_at=int(move.at.timestamp() * 1000),
            code=move.code,
        )


def outcome_of(mine: Iterable[Row]) -> str | None:
    """Which of the parts a person with these deliveries counts to; None without any."""
    cell = _cell(UUID(int=0), mine)
    return None if cell is None else cell[1]


def _cell(campaign: UUID, mine: Iterable[Row]) -> Cell | None:
    best: tuple[Any, ...] | None = None
    for row in mine:
        outcome = OUTCOME_OF_STATE[row["state"]]
        # Between two deliveries with the same outcome the later one decides (after a fail-over, the second channel).
        candidate = (-_BEST_FIRST.index(outcome), row["moved_at"], row["channel"], row["language"], outcome)
        best = candidate if best is None else max(best, candidate)
    return None if best is None else (campaign, best[4], best[2], best[3])


def _count(campaign_rows: Rows, cells: Rows, changes: Counter[Cell]) -> None:
    changed = {cell: by for cell, by in changes.items() if by}
    cells.load(changed)
    for cell, by in changed.items():
        campaign_id, outcome = cell[0], cell[1]
        before = cells.get(*cell)
        cells.put(*cell, recipients=(before["recipients"] if before else 0) + by)
        campaign = campaign_rows.get(campaign_id)
        if campaign is not None:
            campaign_rows.put(campaign_id, **{outcome: campaign[outcome] + by})
    cells.flush()
