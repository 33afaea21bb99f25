"""Which states an accepted SMS passes through, and which callbacks tell of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from notifier.standins.outcomes import Receipts, SmsOutcome

FINAL_STATES = frozenset({"delivered", "undelivered", "failed", "canceled", "read"})
CANCELABLE_STATES = frozenset({"accepted", "scheduled", "queued"})


@dataclass(frozen=True, slots=True)
class State:
    """A state reached, with the error code Twilio gives only to ``failed`` and ``undelivered``."""

    status: str
    error_code: int | None = None


def initial_status(*, with_service: bool, scheduled: bool) -> str:
    """The status of the 201 answer; no callback is sent for it."""
    if scheduled:
        return "scheduled"
    return "accepted" if with_service else "queued"


def states_after(status: str, outcome: SmsOutcome) -> tuple[State, ...]:
    """The states still ahead of a message that stands at ``status``, in their true order."""
    way = ["scheduled", "accepted", "queued", "sending", "sent", outcome.final]
    if outcome.final == "failed":  # never handed to the network
        way = ["scheduled", "accepted", "queued", "failed"]
    elif outcome.final == "sent":
        way.pop()
    if status in FINAL_STATES or status not in way:
        return ()
    ahead = way[way.index(status) + 1 :]
    if status == "scheduled":
        ahead.remove("accepted")  # a scheduled message is queued when its time comes
    return tuple(State(name, outcome.final_code if name == outcome.final else None) for name in ahead)


def callback_order(states: Sequence[State], receipts: Receipts) -> tuple[State, ...]:
    """The callbacks to send for ``states``, in the order they travel."""
    match receipts:
        case Receipts.NONE:
            return ()
        case Receipts.TWICE:
            return tuple(state for state in states for _ in range(2))
        case Receipts.LATEST_FIRST:
            return tuple(reversed(states))
        case Receipts.IN_ORDER:
            return tuple(states)
