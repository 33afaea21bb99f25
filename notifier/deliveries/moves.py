"""The moves of one transaction: states forward only, an outbox row beside each, and what follows for the person."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha1
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, Executable, Row, insert, select, update

from incidents.record.event import NAMESPACE, stable_id
from notifier.campaigns.events import DeliveryPolicy
from notifier.channels.outcome import MAX_CODE, DeliveryState
from notifier.deliveries.groups import CAMPAIGN_CANCELLED
from notifier.deliveries.states import RANK, Attempt, Next, Phase, what_next
from notifier.deliveries.tables import campaign_recipients, deliveries, delivery_log, sendings

SUPERSEDED = "superseded"
"""Code of an attempt called off because its person turned out to be told already."""
TEXTS = "sms"
_SIDE_BY_SIDE = 7
_SECOND_HALF = (1 << 64) - 1
_MARKS_OF_VERSION_5 = 5 << 76 | 2 << 62
_WITHOUT_MARKS = ~(15 << 76 | 3 << 62)
_OF_SENDING = tuple(
    sendings.c[name] for name in ("policy", "cancelled_at", "paused_at", "holds", "deadline", "unanswered")
)
_TEXT_ENDS = frozenset({"delivered", "undelivered", "failed"})


def person_key(campaign_id: UUID, recipient_id: UUID) -> bytes:
    """By which people are put in one order for everybody."""
    return campaign_id.bytes + recipient_id.bytes


def delivery_id(campaign_id: UUID, recipient_id: UUID, channel: str, repeat: int) -> UUID:
    """The same attempt always has the same id, so that planning it twice is impossible."""
    hashed = stable_id("delivery", str(campaign_id), str(recipient_id), channel, str(repeat))
    return _beside(recipient_id, hashed)


def first_ids(campaign_id: UUID, channel: str) -> Callable[[UUID], UUID]:
    """The ids of first attempts of a campaign on a channel, by recipient: the same as `delivery_id` gives, but what is
    the same for all of millions is hashed once."""
    hashed = _ids_of("delivery", campaign_id, f"\x1f{channel}\x1f0")
    return lambda recipient_id: _beside(recipient_id, hashed(recipient_id))


def message_keys(campaign_id: UUID) -> Callable[[UUID], UUID]:
    """What stays the same in every repeat of a campaign's message to a recipient."""
    return _ids_of("message", campaign_id, "")


def _beside(recipient_id: UUID, hashed: UUID) -> UUID:
    """The id of an attempt (UUID version 8, RFC 9562 section 5.8): where recipients' ids lie side by side it begins as
    the recipient's does, so that the attempts of a batch do too. Recipients from before that have ids in no order, and
    the ids of their attempts are hashes."""
    if recipient_id.version != _SIDE_BY_SIDE:
        return hashed
    beginning = recipient_id.int >> 64 & ~0xF000 | 0x8000
    return UUID(int=beginning << 64 | hashed.int & _SECOND_HALF)


def _ids_of(what: str, campaign_id: UUID, after: str) -> Callable[[UUID], UUID]:
    """`stable_id(what, campaign, recipient ...)` by recipient."""
    begun = sha1(NAMESPACE.bytes + f"{what}\x1f{campaign_id}\x1f".encode(), usedforsecurity=False)
    end = after.encode()

    def of(recipient_id: UUID) -> UUID:
        digest = begun.copy()
        digest.update(str(recipient_id).encode() + end)
        # As `UUID(bytes=..., version=5)`, in half the time.
        return UUID(int=int.from_bytes(digest.digest()[:16]) & _WITHOUT_MARKS | _MARKS_OF_VERSION_5)

    return of


@dataclass(slots=True)
class Moves:
    """Changes made through one connection. Call `flush` once before the commit.

    Locks are taken in one order (recipient, deliveries, then campaigns by id at the end), so that two workers cannot
    lock each other out. A transaction of several people takes them in the order of `person_key`.
    """

    connection: Connection
    now: datetime
    max_repeats: int
    pause: Callable[[str | None, int], timedelta]
    """Before the same channel is tried again: by the code that the try before ended with, and how many repeats."""
    is_temporary: Callable[[str | None], bool]
    is_filtered: Callable[[str | None], bool]
    unconfirmed: tuple[str, ...] = ()
    _ends: defaultdict[UUID, dict[str, Callable[[], None]]] = field(default_factory=lambda: defaultdict(dict))
    _counts: defaultdict[UUID, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _sendings: dict[UUID, Any] = field(default_factory=dict)
    _said: list[Callable[[], None]] = field(default_factory=list)

    def lock(self, of: UUID) -> Row[Any] | None:
        """The delivery's row, with its person locked against other transactions."""
        row = self.connection.execute(select(deliveries).where(deliveries.c.delivery_id == of)).first()
        if row is None:
            return None
        self.lock_person(row.campaign_id, row.recipient_id)
        return self.connection.execute(
            select(deliveries).where(deliveries.c.delivery_id == of).with_for_update()
        ).first()

    def move(
        self, row: Row[Any], state: DeliveryState, *, code: str | None = None, provider_id: str | None = None
    ) -> bool:
        """Move a delivery forward and log it; False when it is there or further already."""
        changed = self.connection.execute(
            update(deliveries)
            .where(deliveries.c.delivery_id == row.delivery_id, deliveries.c.rank < RANK[state])
            .values(
                state=state,
                rank=RANK[state],
                code=code if code is not None else deliveries.c.code,
                provider_id=provider_id if provider_id is not None else deliveries.c.provider_id,
                changed_at=self.now,
            )
        )
        if changed.rowcount != 1:
            return False
        self._log(row, state, code, provider_id or row.provider_id)
        if row.channel == TEXTS and state in _TEXT_ENDS and (provider_id or row.provider_id):
            self._counts[row.campaign_id]["texts_ended"] += 1
            self._counts[row.campaign_id]["texts_filtered"] += state != "delivered" and self.is_filtered(code)
        return True

    def set_phase(self, of: UUID, phase: Phase, due_at: datetime | None = None, **values: Any) -> None:
        """Say what is to be done next with a delivery, and let go of it."""
        self.connection.execute(
            update(deliveries)
            .where(deliveries.c.delivery_id == of)
            .values(
                phase=phase.value,
                due_at=due_at or self.now,
                lease_owner=None,
                lease_until=None,
                changed_at=self.now,
                **values,
            )
        )

    def follow_up(self, campaign_id: UUID, recipient_id: UUID) -> None:
        """Bring a person's outcome up to date and do what follows: another attempt, or calling one off."""
        person = self.lock_person(campaign_id, recipient_id)
        if person is None:
            return
        rows = self.connection.execute(
            select(deliveries).where(deliveries.c.campaign_id == campaign_id, deliveries.c.recipient_id == recipient_id)
        ).all()
        channels = person.channels.split(",")
        rows = sorted(rows, key=lambda row: (_place(channels, row.channel), row.repeat))
        step = what_next(
            [Attempt(row.delivery_id, row.channel, row.repeat, row.state, Phase(row.phase), row.code) for row in rows],
            channels,
            cast(DeliveryPolicy, self._sending(campaign_id).policy),
            max_repeats=self.max_repeats,
            is_temporary=lambda code: code == SUPERSEDED or self.is_temporary(code),
            cancelled=self.is_cancelled(campaign_id),
            unconfirmed=self.unconfirmed,
        )
        for row in rows:
            if row.delivery_id in step.call_off:
                if step.cancelled:
                    self.move(row, "cancelled", code=CAMPAIGN_CANCELLED)
                else:
                    self.move(row, "rejected", code=SUPERSEDED)
                self.set_phase(row.delivery_id, Phase.DONE)
        if step.channel is not None:
            self.add(campaign_id, recipient_id, step)
        self._set_outcome(person, step.outcome)

    def add(self, campaign_id: UUID, recipient_id: UUID, step: Next) -> None:
        """Plan one more attempt; in a cancelled campaign, enter that it will not be made."""
        row = new_delivery(campaign_id, recipient_id, str(step.channel), step.repeat, self.now)
        if step.cancelled:
            row |= CALLED_OFF
            self.log_called_off(campaign_id, [(recipient_id, row["delivery_id"], row["channel"])])
        elif step.delayed:
            pause, deadline = self.pause(step.code, step.repeat), self._sending(campaign_id).deadline
            if deadline is not None and deadline > self.now:
                pause = min(pause, (deadline - self.now) / 2)  # what comes after it is no use to anybody
            row["due_at"] = self.now + pause
        self.connection.execute(insert(deliveries).values(**row))

    def is_cancelled(self, campaign_id: UUID) -> bool:
        """Whether nothing new may be tried. Asked once for a transaction: one that is about to commit may still leave
        an attempt to be made, which is then called off (`notifier.deliveries.cancelling`)."""
        return self._sending(campaign_id).cancelled_at is not None

    def is_stopped(self, campaign_id: UUID) -> bool:
        """Whether nobody new may be written to: it is cancelled, or paused."""
        return self.is_cancelled(campaign_id) or self._sending(campaign_id).paused_at is not None

    def went_well(self, campaign_id: UUID) -> None:
        """Somebody was told: what stopped the campaign before is over."""
        if self._sending(campaign_id).holds:
            well = update(sendings).where(sendings.c.campaign_id == campaign_id, sendings.c.holds > 0).values(holds=0)
            self.at_end(campaign_id, "well", lambda: self._run(well))

    def note_unanswered(self, campaign_id: UUID, code: str | None) -> None:
        """A provider does not say what became of a message of this campaign, for people to see; None: one says."""
        if code is None and self._sending(campaign_id).unanswered is None:
            return
        said = update(sendings).where(sendings.c.campaign_id == campaign_id).values(unanswered=code and code[:MAX_CODE])
        self.at_end(campaign_id, "answered" if code is None else "unanswered", lambda: self._run(said))

    def at_commit(self, say: Callable[[], None]) -> None:
        """Call this when everything is committed: what may be undone is not said."""
        self._said.append(say)

    def committed(self) -> None:
        """Everything is committed."""
        for say in self._said:
            say()
        self._said.clear()

    def at_end(self, campaign_id: UUID, what: str, change: Callable[[], None]) -> None:
        """Make a change to a campaign's row at the end, after everything that locks a person; each kind once."""
        self._ends[campaign_id].setdefault(what, change)

    def log_called_off(self, campaign_id: UUID, attempts: Iterable[tuple[UUID, UUID, str]]) -> None:
        """The outbox rows of attempts (recipient, delivery, channel) that will not be made."""
        rows = [
            {
                "campaign_id": campaign_id,
                "recipient_id": recipient,
                "delivery_id": delivery,
                "channel": channel,
                "state": "cancelled",
                "at": self.now,
                "code": CAMPAIGN_CANCELLED,
            }
            for recipient, delivery, channel in attempts
        ]
        if rows:
            self.connection.execute(insert(delivery_log), rows)

    def cancel_untried(self, campaign_id: UUID, channel: str, people: int) -> None:
        """So many people, who would first have been told by this channel, will not be: one outbox row for them all."""
        self.connection.execute(
            insert(delivery_log).values(
                campaign_id=campaign_id,
                channel=channel,
                state="cancelled",
                at=self.now,
                code=CAMPAIGN_CANCELLED,
                moved=people,
            )
        )
        self.count(campaign_id, "open", "cancelled", people)

    def log_claim(self, row: Row[Any], code: str | None = None) -> None:
        """The outbox row of a first claim (claims are updated many at a time), or of one that holds again."""
        self._log(row, "claimed", code, row.provider_id)

    def count(self, campaign_id: UUID, before: str, after: str, people: int) -> None:
        """So many people went from one outcome to another."""
        self._counts[campaign_id][before] -= people
        self._counts[campaign_id][after] += people

    def flush(self) -> None:
        """Write what changes in the campaigns' own rows, in the order of their ids."""
        for campaign_id in sorted({*self._counts, *self._ends}):
            for at_end in self._ends[campaign_id].values():
                at_end()
            change = {name: by for name, by in self._counts[campaign_id].items() if by}
            if change:
                self.connection.execute(
                    update(sendings)
                    .where(sendings.c.campaign_id == campaign_id)
                    .values({name: sendings.c[name] + by for name, by in change.items()})
                )
        self._counts.clear()
        self._ends.clear()

    def _run(self, statement: Executable) -> None:
        self.connection.execute(statement)

    def _sending(self, campaign_id: UUID) -> Any:
        if campaign_id not in self._sendings:
            self._sendings[campaign_id] = self.connection.execute(
                select(*_OF_SENDING).where(sendings.c.campaign_id == campaign_id)
            ).one()
        return self._sendings[campaign_id]

    def lock_person(self, campaign_id: UUID, recipient_id: UUID) -> Row[Any] | None:
        """The person's row, kept from all others until the end of the transaction."""
        return self.connection.execute(
            select(campaign_recipients)
            .where(
                campaign_recipients.c.campaign_id == campaign_id,
                campaign_recipients.c.recipient_id == recipient_id,
            )
            .with_for_update()
        ).first()

    def _set_outcome(self, person: Row[Any], outcome: str) -> None:
        if person.outcome == outcome:
            return
        self.connection.execute(
            update(campaign_recipients)
            .where(
                campaign_recipients.c.campaign_id == person.campaign_id,
                campaign_recipients.c.recipient_id == person.recipient_id,
            )
            .values(outcome=outcome)
        )
        self.count(person.campaign_id, person.outcome, outcome, 1)

    def _log(self, row: Row[Any], state: str, code: str | None, provider_id: str | None) -> None:
        self.connection.execute(
            insert(delivery_log).values(
                campaign_id=row.campaign_id,
                recipient_id=row.recipient_id,
                delivery_id=row.delivery_id,
                channel=row.channel,
                state=state,
                at=self.now,
                provider_id=provider_id,
                code=code,
            )
        )


CALLED_OFF: dict[str, Any] = {"state": "cancelled", "rank": RANK["cancelled"], "phase": Phase.DONE.value} | {
    "code": CAMPAIGN_CANCELLED
}
"""What a new attempt is that will not be made."""


def _place(channels: list[str], channel: str) -> int:
    """A letter is in no order: a person decided to write it after all the others."""
    return channels.index(channel) if channel in channels else len(channels)


def new_delivery(campaign_id: UUID, recipient_id: UUID, channel: str, repeat: int, now: datetime) -> dict[str, Any]:
    """The row of an attempt that is still to be made."""
    return {
        "delivery_id": delivery_id(campaign_id, recipient_id, channel, repeat),
        "campaign_id": campaign_id,
        "recipient_id": recipient_id,
        "channel": channel,
        "repeat": repeat,
        "state": "planned",
        "rank": RANK["planned"],
        "phase": Phase.READY.value,
        "due_at": now,
        "changed_at": now,
    }
