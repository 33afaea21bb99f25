"""How far a delivery is, what is to be done with it, and what follows for its person. Pure tables and decisions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, get_args
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
        "cancelled": 5,  # called off before it was tried: the campaign was cancelled
        "read": 6,  # the person said so on the notice page: certain, whatever was reported before
    }
)
"""A delivery moves to a higher rank or not at all: a late `sent` cannot undo `delivered`, and of two final states
the first stays. Only the person's own word, `read`, stands above them."""

FINAL_RANK = 5
TOLD: frozenset[str] = frozenset({"accepted", "sent", "delivered", "read"})
ARRIVED: frozenset[str] = frozenset({"delivered", "read"})
NOT_TOLD: frozenset[str] = frozenset({"undelivered", "failed", "rejected", "suppressed", "cancelled"})


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


RecipientOutcome = Literal["open", "reached", "accepted", "failed", "ambiguous", "suppressed", "cancelled"]
"""`open` while something is still to be tried or awaited; `reached`: a receipt, or the person, says it arrived;
`accepted`: a provider took it and says no more; `failed`: no channel is left; `ambiguous`: perhaps told, nobody can
tell; `suppressed`: no channel was tried, for every address is on the list of those not to be written to; `cancelled`:
more would have been tried, but the campaign was cancelled."""

OUTCOMES: tuple[RecipientOutcome, ...] = get_args(RecipientOutcome)
"""Each recipient has exactly one of these, so they add up to all who were planned."""


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
    """What follows for a person: the outcome as it stands, an attempt to add, attempts to call off.

    `cancelled`: the campaign is. What is called off is so for that reason, and the attempt to add is on record only:
    it would have been the next one."""

    outcome: RecipientOutcome
    channel: str | None = None
    repeat: int = 0
    delayed: bool = False
    code: str | None = None
    """What the one before ended with, where the attempt to add is delayed: it says for how long."""
    call_off: tuple[UUID, ...] = ()
    cancelled: bool = False


def what_next(
    attempts: Sequence[Attempt],
    channels: Sequence[str],
    policy: DeliveryPolicy,
    *,
    max_repeats: int,
    is_temporary: Callable[[str | None], bool],
    cancelled: bool = False,
    unconfirmed: Collection[str] = (),
) -> Next:
    """Decide from all attempts on one person. `cancelled`: the campaign is, so nothing new is tried.

    Told: nothing new is tried, and what waits to be tried is called off. Not told for certain: the next channel, or,
    where none is left and the fault was temporary, the same one again. Unclear: again, marked, if the policy is
    `at_least_once`; never if it is `at_most_once`. Taken by a channel of `unconfirmed`, and no receipt within the time
    there is for it: the next channel.
    """
    live = [attempt for attempt in attempts if attempt.phase is not Phase.DONE]
    lapsed = [attempt for attempt in attempts if _has_lapsed(attempt, unconfirmed)]
    if any(attempt.state in TOLD and attempt not in lapsed for attempt in attempts):
        return _once_told(attempts, live)
    step = Next("open") if live else _not_told(attempts, channels, policy, max_repeats, is_temporary)
    if lapsed and (step.outcome != "open" or (cancelled and not live)):
        return Next("accepted")  # nobody confirmed it, and there is nothing else to try
    return _cancelled(step, attempts, live) if cancelled else step


def _has_lapsed(attempt: Attempt, unconfirmed: Collection[str]) -> bool:
    """Whether a provider took it and nothing was heard of it for so long that the next channel is tried."""
    return attempt.phase is Phase.DONE and attempt.state in {"accepted", "sent"} and attempt.channel in unconfirmed


def _cancelled(step: Next, attempts: Sequence[Attempt], live: Sequence[Attempt]) -> Next:
    """The same where nothing may be tried any more: what is under way is let to end, the rest is called off."""
    waiting = tuple(attempt.delivery_id for attempt in live if attempt.phase is Phase.READY)
    if len(waiting) < len(live):
        return Next("open", call_off=waiting, cancelled=True)
    if not waiting and step.channel is None:
        return step
    unclear = any(attempt.state == "ambiguous" for attempt in attempts)
    outcome: RecipientOutcome = "ambiguous" if unclear else "cancelled"
    return Next(outcome, step.channel, step.repeat, call_off=waiting, cancelled=True)


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
    called_off = any(attempt.state == "cancelled" for attempt in attempts)
    exhausted = Next("ambiguous" if unclear else "cancelled" if called_off else "suppressed" if withheld else "failed")
    if called_off:
        return exhausted
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
        return Next("open", last.channel, last.repeat + 1, delayed=True, code=last.code)
    return exhausted
