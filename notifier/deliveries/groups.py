"""What a group of first attempts leaves behind: rows for persons and attempts, and their moves. Pure, no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

from notifier.campaigns.events import DeliveryMove, DeliveryPolicy
from notifier.channels.outcome import DeliveryState, Outcome, Verdict
from notifier.deliveries.states import FINAL_RANK, RANK, Attempt, Next, Phase, what_next
from notifier.deliveries.timing import Timing

CAMPAIGN_CANCELLED = "campaign-cancelled"
"""Code of an attempt called off because its campaign was cancelled."""
NO_CHANNEL = "none"
"""The lane of people who cannot be reached by any channel there is."""


class Seat(NamedTuple):
    """One recipient's place in a batch."""

    position: int
    recipient_id: UUID
    language: str
    channels: tuple[str, ...]
    delivery_id: UUID
    reference: str


class Ending(NamedTuple):
    """How far a first attempt came, and what is to be done with it next."""

    state: DeliveryState
    phase: Phase
    due_at: datetime
    tries: int = 0
    code: str | None = None
    provider_id: str | None = None
    written: bool = False
    certain: bool = False
    """The provider said yes or no: true whoever holds the batch by now."""
    ours: str | None = None
    """Code of a fault that is not the recipient's but ours: the campaign is to rest."""
    provider: str | None = None
    """Who it was handed to."""
    tried_at: datetime | None = None
    """When; None: some time after the batch was claimed."""
    unclear_at: datetime | None = None
    """Since when nobody knows what became of it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides the ending of an attempt, beside the outcome."""

    timing: Timing
    policy: DeliveryPolicy
    reconciles: bool
    receipts: bool
    is_temporary: Callable[[str | None], bool]


def of_outcome(
    outcome: Outcome,
    rules: Rules,
    now: datetime,
    share: float,
    provider: str | None = None,
    tried_at: datetime | None = None,
) -> Ending:
    """The ending of an attempt that was tried. `share` is the random part of a delay."""
    timing = rules.timing
    match outcome.verdict:
        case Verdict.ACCEPTED:
            waits = rules.receipts and RANK[outcome.state] < FINAL_RANK
            phase, due_at = (Phase.WAITING, now + timing.poll_delays[0]) if waits else (Phase.DONE, now)
            return Ending(outcome.state, phase, due_at, 0, None, outcome.provider_id, True, True, None, provider)
        case Verdict.REJECTED:
            return Ending("rejected", Phase.DONE, now, 0, outcome.code, certain=True, provider=provider)
        case Verdict.TEMPORARY:
            due_at = now + timing.backoff(0, share, outcome.retry_after)
            again = Ending("claimed", Phase.READY, due_at, 1, outcome.code, provider=provider)
            return again if timing.max_tries > 1 else given_up(outcome.code or "temporary", now)
        case Verdict.CAMPAIGN_FAULT:
            return Ending("claimed", Phase.READY, now + timing.hold, ours=outcome.code or "unknown", provider=provider)
        case _:
            state, phase = ("claimed", Phase.CHECKING) if rules.reconciles else ("ambiguous", Phase.DONE)
            due_at = now + timing.check_delays[0] if rules.reconciles else now
            ending = Ending(cast(DeliveryState, state), phase, due_at, 0, outcome.code, written=True, provider=provider)
            return ending._replace(tried_at=tried_at, unclear_at=now)


def given_up(code: str, now: datetime) -> Ending:
    """There was nothing to try: no address, no channel, or the person was erased."""
    return Ending("failed", Phase.DONE, now, 0, code)


def suppressed(reason: str, now: datetime) -> Ending:
    """The address is on the list of those not to be written to."""
    return Ending("suppressed", Phase.DONE, now, 0, reason)


def unknown(rules_timing: Timing, now: datetime, until: datetime | None = None) -> Ending:
    """Whoever tried it is gone, and may have written it, up to `until`: to be checked."""
    unclear_at = min(now, until or now)
    return Ending("claimed", Phase.CHECKING, now + rules_timing.check_delays[0], written=True, unclear_at=unclear_at)


def untouched(due_at: datetime) -> Ending:
    """Given back before anything was tried."""
    return Ending("planned", Phase.READY, due_at)


def _called_off(ending: Ending) -> Ending:
    return ending._replace(state="cancelled", phase=Phase.DONE, code=CAMPAIGN_CANCELLED, tries=0)


PERSON_COLUMNS = ("campaign_id", "recipient_id", "position", "language", "channels", "reference", "outcome")
ATTEMPT_COLUMNS = (
    "delivery_id",
    "campaign_id",
    "recipient_id",
    "channel",
    "repeat",
    "state",
    "rank",
    "phase",
    "due_at",
    "tries",
    "checks",
    "lease_fence",
    "written_at",
    "provider_id",
    "code",
    "provider",
    "changed_at",
    "unclear_at",
)


class GroupRows(NamedTuple):
    """Rows to insert, in the order of the columns above, and the outcome of each person."""

    persons: list[tuple[Any, ...]]
    attempts: list[tuple[Any, ...]]
    moves: list[list[Any]]
    outcomes: list[str]
    called_off: list[tuple[UUID, UUID, str]]
    """Attempts (recipient, delivery, channel) that will not be made, because the campaign was cancelled."""


def rows_of(
    campaign_id: UUID,
    channel: str,
    endings: Sequence[tuple[Seat, Ending]],
    *,
    policy: DeliveryPolicy,
    timing: Timing,
    is_temporary: Callable[[str | None], bool],
    claimed_at: datetime,
    now: datetime,
    next_id: Callable[[UUID, str, int], UUID],
    cancelled: bool = False,
) -> GroupRows:
    """Everything that this group of first attempts, all on one channel, leaves behind. `cancelled`: the campaign is."""
    rows = GroupRows([], [], [], [], [])
    began = _milliseconds(claimed_at)
    known: dict[tuple[Any, ...], Next] = {}
    for seat, came in endings:
        kind = (seat.channels, came.state, came.phase, came.code)
        step = known.get(kind)
        if step is None:
            attempt = Attempt(seat.delivery_id, channel, 0, came.state, came.phase, came.code)
            step = what_next(
                [attempt],
                seat.channels,
                policy,
                max_repeats=timing.max_repeats,
                is_temporary=is_temporary,
                cancelled=cancelled,
            )
            if not step.call_off:  # what follows is the same for all who came so far, unless it names the attempt
                known[kind] = step
        ending = _called_off(came) if step.call_off else came
        if step.call_off:
            rows.called_off.append((seat.recipient_id, seat.delivery_id, channel))
        rows.persons.append(_person_row(campaign_id, seat, step.outcome))
        rows.outcomes.append(step.outcome)
        written_at = (ending.tried_at or claimed_at) if ending.written else None
        rows.attempts.append(_attempt_row(campaign_id, seat, channel, ending, written_at, now))
        if step.channel is not None:
            due_at = now + timing.first_backoff if step.delayed else now
            again = seat._replace(delivery_id=next_id(seat.recipient_id, step.channel, step.repeat))
            follows = untouched(due_at)
            if step.cancelled:
                follows = _called_off(follows)
                rows.called_off.append((seat.recipient_id, again.delivery_id, step.channel))
            rows.attempts.append(_attempt_row(campaign_id, again, step.channel, follows, None, now, step.repeat))
        if ending.state != "planned":
            settled = None if ending.state in {"claimed", "cancelled"} else ending.state
            ids = (seat.recipient_id.hex, seat.delivery_id.hex)
            rows.moves.append([*ids, seat.language, began, settled, ending.code, ending.provider_id])
    return rows


def _person_row(campaign_id: UUID, seat: Seat, outcome: str) -> tuple[Any, ...]:
    channels = ",".join(seat.channels)
    return campaign_id, seat.recipient_id, seat.position, seat.language, channels, seat.reference, outcome


def _attempt_row(
    campaign_id: UUID,
    seat: Seat,
    channel: str,
    ending: Ending,
    written_at: datetime | None,
    now: datetime,
    repeat: int = 0,
) -> tuple[Any, ...]:
    return (
        seat.delivery_id,
        campaign_id,
        seat.recipient_id,
        channel,
        repeat,
        ending.state,
        RANK[ending.state],
        ending.phase.value,
        ending.due_at,
        ending.tries,
        0,
        0,
        written_at,
        ending.provider_id,
        ending.code,
        ending.provider,
        now,
        ending.unclear_at,
    )


def packed(moves: Sequence[Sequence[Any]]) -> str:
    """The moves of a group as one text for the outbox. Each entry: the attempt began and, where known, its end."""
    return json.dumps(moves, separators=(",", ":"))


def move_count(moves: Sequence[Sequence[Any]]) -> int:
    """How many moves they stand for."""
    return sum(1 if entry[4] is None else 2 for entry in moves)


def unpacked(text: str, channel: str, at: datetime) -> Iterator[DeliveryMove]:
    """The moves again, in order. `at` is when the group was entered."""
    for recipient, delivery, language, began, state, code, provider_id in json.loads(text):
        ids: dict[str, Any] = {"recipient": UUID(recipient), "delivery": UUID(delivery)}
        since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=began)
        yield DeliveryMove(**ids, channel=channel, state="claimed", at=since, language=language)
        if state is not None:
            yield DeliveryMove(
                **ids, channel=channel, state=state, at=at, provider_id=provider_id, code=code, language=language
            )


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
