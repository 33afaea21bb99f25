"""The list itself: adding, lifting, asking. Methods that take a connection join the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, cast, get_args
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Connection, Engine, Row, func, insert, or_, select, update

from incidents.clock import Clock
from incidents.errors import Conflict, InvalidInput, NotFound
from incidents.privacy import refuse_contacts
from incidents.record.database import reading, writing
from incidents.record.event import Model
from notifier.suppression.digests import Kind, SuppressionKey, normalised
from notifier.suppression.tables import suppressions

log = structlog.get_logger(__name__)

EVERY = "*"
Reason = Literal["hard-bounce", "complaint", "stop", "unsubscribed", "manual"]
REASONS: tuple[Reason, ...] = get_args(Reason)
ALWAYS: frozenset[Reason] = frozenset({"hard-bounce"})
"""What not even a notice demanded by law overrides: nobody is there to be told."""
CHANNELS_OF: Mapping[Kind, tuple[str, ...]] = {"phone": ("sms", "voice"), "email": ("email",)}
KIND_OF: Mapping[str, Kind] = {channel: kind for kind, channels in CHANNELS_OF.items() for channel in channels}
"""Channels that write to an address of a kind; others (a public page, letters) have none that could be on the list."""
MAX_TEXT = 500
_IN_ONE_QUERY = 400
_t = suppressions.c


class Suppression(Model):
    """One reason not to write to an address. `*`: every channel of the address, every category of notice."""

    suppression_id: UUID
    kind: Kind
    channel: str
    category: str
    reason: Reason
    code: str | None
    note: str | None
    added_at: datetime
    added_by: str
    lifted_at: datetime | None
    lifted_by: str | None
    lifted_reason: str | None


class SuppressionBook:
    """All reading and writing of the list."""

    def __init__(self, engine: Engine, key: SuppressionKey, clock: Clock) -> None:
        self._engine = engine
        self._key = key
        self._clock = clock

    def open(self) -> None:
        """Open the key of the digests. To be called before a transaction that `add` joins."""
        self._key.open()

    def rewrap(self) -> bool:
        """Rotation: wrap the key of the digests under the current master key. Returns whether it was under another."""
        return self._key.rewrap()

    def add(
        self,
        address: str,
        *,
        reason: Reason,
        by: str,
        channel: str = EVERY,
        category: str = EVERY,
        code: str | None = None,
        note: str | None = None,
        connection: Connection | None = None,
    ) -> Suppression:
        """Put an address on the list. What is on it already stays as it is. InvalidInput names what is wrong."""
        kind, address = normalised(address)
        if channel != EVERY and channel not in CHANNELS_OF[kind]:
            raise InvalidInput(f"{channel} does not write to such an address.", field="channel")
        note = _tidy(note, "note")
        if connection is None:
            self.open()
            with writing(self._engine) as own:
                return self._added(own, kind, address, channel, category, reason, by, code, note)
        return self._added(connection, kind, address, channel, category, reason, by, code, note)

    def _added(
        self,
        connection: Connection,
        kind: Kind,
        address: str,
        channel: str,
        category: str,
        reason: Reason,
        by: str,
        code: str | None,
        note: str | None,
    ) -> Suppression:
        digest = self._key.digest(kind, address)
        same = (
            _t.digest == digest,
            _t.channel == channel,
            _t.category == category,
            _t.reason == reason,
            _t.lifted_at.is_(None),
        )
        known = connection.execute(select(suppressions).where(*same)).first()
        if known is not None:
            return _read(known)
        new = {
            "suppression_id": uuid4(),
            "digest": digest,
            "kind": kind,
            "channel": channel,
            "category": category,
            "reason": reason,
            "code": code,
            "note": note,
            "added_at": self._clock.now(),
            "added_by": by,
        }
        connection.execute(_insert_once(connection, new))
        # Another transaction may have been faster with the same: then the row is theirs.
        row = connection.execute(select(suppressions).where(*same)).one()
        if row.suppression_id == new["suppression_id"]:
            log.info("suppression.added", suppression=str(row.suppression_id), reason=reason, channel=channel)
        return _read(row)

    def lift(self, suppression_id: UUID, *, by: str, reason: str) -> Suppression:
        """Take one off the list, with a reason on record. NotFound, or Conflict when it is off already."""
        text = _tidy(reason, "reason")
        if not text:
            raise InvalidInput("Say why it is lifted.", field="reason")
        with writing(self._engine) as connection:
            changed = connection.execute(
                update(suppressions)
                .where(_t.suppression_id == suppression_id, _t.lifted_at.is_(None))
                .values(lifted_at=self._clock.now(), lifted_by=by, lifted_reason=text)
            )
            row = connection.execute(select(suppressions).where(_t.suppression_id == suppression_id)).first()
        if row is None:
            raise NotFound(f"There is no suppression {suppression_id}.", field="suppression_id")
        if changed.rowcount != 1:
            raise Conflict(f"Suppression {suppression_id} was lifted before.", field="suppression_id")
        log.info("suppression.lifted", suppression=str(suppression_id))
        return _read(row)

    def lift_for(self, address: str, *, reasons: Sequence[Reason], channel: str, by: str, why: str) -> int:
        """Take an address off for these reasons (a person who opted out opts in again). Returns how many."""
        kind, address = normalised(address)
        digest = self._key.digest(kind, address)
        with writing(self._engine) as connection:
            return connection.execute(
                update(suppressions)
                .where(_t.digest == digest, _t.channel == channel, _t.reason.in_(list(reasons)), _t.lifted_at.is_(None))
                .values(lifted_at=self._clock.now(), lifted_by=by, lifted_reason=why)
            ).rowcount

    def of(self, address: str) -> tuple[Suppression, ...]:
        """Everything on record of an address, newest first, what was lifted too."""
        kind, address = normalised(address)
        digest = self._key.digest(kind, address)
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(suppressions).where(_t.digest == digest).order_by(_t.added_at.desc())
            ).all()
        return tuple(map(_read, rows))

    def newest(self, *, limit: int = 50, in_force: bool = True) -> tuple[Suppression, ...]:
        """The newest of all."""
        statement = select(suppressions).order_by(_t.added_at.desc(), _t.suppression_id).limit(limit)
        if in_force:
            statement = statement.where(_t.lifted_at.is_(None))
        with reading(self._engine) as connection:
            return tuple(map(_read, connection.execute(statement).all()))

    def counts(self) -> dict[str, int]:
        """How many are in force, by reason."""
        statement = select(_t.reason, func.count()).where(_t.lifted_at.is_(None)).group_by(_t.reason)
        with reading(self._engine) as connection:
            found: dict[str, int] = {row[0]: row[1] for row in connection.execute(statement)}
        return {reason: found.get(reason, 0) for reason in REASONS}

    def withheld(
        self, addresses: Mapping[UUID, str], *, channel: str, category: str, overridden: bool = False
    ) -> dict[UUID, Reason]:
        """Whom of these not to write to by this channel, and why. Addresses must be normalised but for case.

        `overridden`: a person decided that this notice, which the law demands, goes out all the same.
        """
        kind = KIND_OF.get(channel)
        if kind is None or not addresses:
            return {}
        with reading(self._engine) as connection:
            if connection.execute(select(_t.digest).where(_t.lifted_at.is_(None)).limit(1)).first() is None:
                return {}
        by_digest: dict[str, list[UUID]] = {}
        for person, address in addresses.items():
            by_digest.setdefault(self._key.digest(kind, address), []).append(person)
        found: dict[UUID, Reason] = {}
        digests = list(by_digest)
        with reading(self._engine) as connection:
            for start in range(0, len(digests), _IN_ONE_QUERY):
                some = digests[start : start + _IN_ONE_QUERY]
                rows = connection.execute(
                    select(_t.digest, _t.reason).where(
                        _t.digest.in_(some),
                        _t.lifted_at.is_(None),
                        or_(_t.channel == channel, _t.channel == EVERY),
                        or_(_t.category == category, _t.category == EVERY),
                    )
                )
                for digest, reason in sorted(rows.all(), key=lambda row: REASONS.index(row.reason), reverse=True):
                    if not overridden or reason in ALWAYS:
                        found.update(dict.fromkeys(by_digest[digest], cast(Reason, reason)))
        return found


def _insert_once(connection: Connection, values: dict[str, Any]) -> Any:
    """Without effect where the same is in force already: two who learn it at once must not fail each other."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as into_postgresql

        return into_postgresql(suppressions).values(**values).on_conflict_do_nothing()
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as into_sqlite

        return into_sqlite(suppressions).values(**values).on_conflict_do_nothing()
    return insert(suppressions).values(**values)


def _tidy(text: str | None, field: str) -> str | None:
    if text is None or not text.strip():
        return None
    tidy = text.strip()
    if len(tidy) > MAX_TEXT:
        raise InvalidInput(f"That is longer than {MAX_TEXT} characters.", field=field)
    refuse_contacts(tidy, field)
    return tidy


def _read(row: Row[Any]) -> Suppression:
    return Suppression(**{name: row._mapping[name] for name in Suppression.model_fields})
