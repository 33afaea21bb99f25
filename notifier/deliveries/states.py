"""How far a delivery is, what is to be done with it, and what follows for its person. Pure tables and decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal
from uuid import UUID

from notifier.campaigns.events import DeliveryPolicy
from notifier.channels.outcome import DeliveryState

RANK: MappingProxyType[DeliveryState, int] = MappingProxyType(
    {
        "planned": 0,
        "claimed": 1,  # somebody is about to try
        "ambiguous": 2,  # nobody can tell whether it went out; a receipt may still tell
        "accepted": 3,  # the provider took it
        "sent": 4,  # the provider passed it on
        "delivered": 5,  # it arrived
        "undelivered": 5,  # it did not arrive
        "failed": 5,  # it will not be sent
        "rejected": 5,  # the provider refused it
        "suppressed": 5,  # the address is on the list of those not to be written to
        "read": 6,  # the person said so on the notice page: certain, whatever was reported before
    }
)
"""A delivery moves to a higher rank or not at all: a late `sent` cannot undo `delivered`, and of two final states
the first stays. Only the person's own word, `read`, stands above them."""

FINAL_RANK = 5
TOLD: frozenset[str] = frozenset({"accepted", "sent", "delivered", "read"})
ARRIVED: frozenset[str] = frozenset({"delivered", "read"})
NOT_TOLD: frozenset[str] = frozenset({"undelivered", "failed", "rejected", "suppressed"})


class Phase(StrEnum):
    """What is to be done with a delivery."""

    READY = "ready"
    """To be claimed and tried at `due_at`. Nothing is on its way."""
    CLAIMED = "claimed"
    """A worker has it and has written nothing yet: if the worker dies, it is safe to try again."""
    WRITING = "writing"
    """A worker may have written it: if the worker dies, nobody knows."""
    CHECKING = "checking"
    """Unclear: at `due_at` ask the provider."""
    WAITING = "waiting"
    """Accepted; a receipt should come. At `due_at` ask the provider instead."""
    DONE = "done"
    """Nothing more to do (a late receipt may still move the state)."""


RecipientOutcome = Literal["open", "reached", "accepted", "failed", "ambiguous", "suppressed"]
"""`open` while something is still to be tried or awaited; `reached`: a receipt, or the person, says it arrived;
`accepted`: a provider took it and says no more; `failed`: no channel is left; `ambiguous`: perhaps told, nobody can
tell; `suppressed`: no channel was tried, for every address is on the list of those not to be written to."""

OUTCOMES: tuple[RecipientOutcome, ...] = ("open", "reached", "accepted", "failed", "ambiguous", "suppressed")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the decision needs to know of one delivery. Attempts come in the order they were made."""

    delivery_id: UUID
    channel: str
    repeat: int
    state: DeliveryState
    phase: Phase
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Next:
    """What follows for a person: the outcome as it stands, an attempt to add, attempts to call off."""

    outcome: RecipientOutcome
    channel: str | None = None
    repeat: int = 0
    delayed: bool = False
    call_off: tuple[UUID, ...] = ()


def what_next(
    attempts: Sequence[Attempt],
    channels: Sequence[str],
    policy: DeliveryPolicy,
    *,
    max_repeats: int,
    is_temporary: Callable[[str | None], bool],
) -> Next:
    """Decide from all attempts on one person.

    Told: nothing new is tried, and what waits to be tried is called off. Not told for certain: the next channel, or,
    where none is left and the fault was temporary, the same one again. Unclear: again, marked, if the policy is
    `at_least_once`; never if it is `at_most_once`.
    """
    live = [attempt for attempt in attempts if attempt.phase is not Phase.DONE]
    if any(attempt.state in TOLD for attempt in attempts):
        return _once_told(attempts, live)
    if live:
        return Next("open")
    return _not_told(attempts, channels, policy, max_repeats, is_temporary)


def _once_told(attempts: Sequence[Attempt], live: Sequence[Attempt]) -> Next:
    call_off = tuple(attempt.delivery_id for attempt in live if attempt.phase is Phase.READY)
    if any(attempt.state in ARRIVED for attempt in attempts):
        return Next("reached", call_off=call_off)
    return Next("open" if len(live) > len(call_off) else "accepted", call_off=call_off)


def _not_told(
    attempts: Sequence[Attempt],
    channels: Sequence[str],
    policy: DeliveryPolicy,
    max_repeats: int,
    is_temporary: Callable[[str | None], bool],
) -> Next:
    last = attempts[-1] if attempts else None
    unclear = any(attempt.state == "ambiguous" for attempt in attempts)
    withheld = bool(attempts) and all(attempt.state == "suppressed" for attempt in attempts)
    exhausted = Next("ambiguous" if unclear else "suppressed" if withheld else "failed")
    if unclear and policy == "at_most_once":
        return exhausted
    may_repeat = last is not None and last.repeat < max_repeats
    if last is not None and may_repeat and last.state == "ambiguous":
        return Next("open", last.channel, last.repeat + 1)
    tried = {attempt.channel for attempt in attempts}
    untried = next((channel for channel in channels if channel not in tried), None)
    if untried is not None:
        return Next("open", untried)
    if last is not None and may_repeat and last.state in NOT_TOLD and is_temporary(last.code):
        return Next("open", last.channel, last.repeat + 1, delayed=True)
    return exhausted
