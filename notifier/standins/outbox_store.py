"""The outbox: every message the stand-ins accepted, durable before its sender hears so."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.pool import StaticPool

from notifier.standins.outbox_tables import CALLBACKS, MESSAGES, METADATA, REFUSALS, TRIES
from notifier.standins.receipt_plan import FINAL_STATES

Channel = Literal["sms", "email", "voice"]
_PRUNE_EVERY = 256
EMAIL_FINAL_STATES = frozenset({"delivered", "bounced"})
CALL_FINAL_STATES = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message about to be accepted; times are aware and in UTC."""

    sid: str
    channel: Channel
    recipient: str
    sender: str
    body: str
    outcome: str
    status: str
    accepted_at: datetime
    subject: str = ""
    raw: bytes | None = field(default=None, repr=False)
    campaign: str = ""
    message_id: str = ""
    service_sid: str = ""
    status_callback: str = field(default="", repr=False)
    segments: int = 0
    send_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message as the outbox holds it. ``id`` grows with every accepted message."""

    id: int
    sid: str
    channel: Channel
    recipient: str
    sender: str
    subject: str
    body: str
    raw: bytes | None = field(repr=False)
    campaign: str
    message_id: str
    service_sid: str
    status_callback: str = field(repr=False)
    segments: int
    outcome: str
    status: str
    error_code: str
    accepted_at: datetime
    updated_at: datetime
    sent_at: datetime | None
    send_at: datetime | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message turned away at the door; it was never accepted."""

    id: int
    channel: Channel
    recipient: str
    code: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """One try to deliver a status callback."""

    sid: str
    status: str
    attempt: int
    result: str
    at: datetime


class OutboxStore:
    """SQLite outbox, in a file (survives the process) or in memory (``path`` is None).

    A message is committed before the method that accepts it returns. Commits are written to the
    operating system, so a killed process loses nothing; a power cut may lose the last ones, which is
    as much as a stand-in needs. ``max_messages`` bounds it: the oldest are forgotten beyond it.
    Safe to use from several threads, and from several processes when it is a file.
    """

    def __init__(self, path: Path | None = None, *, max_messages: int = 200_000) -> None:
        self.path = path
        self._max = max_messages
        self._lock = threading.RLock()
        self._since_prune = 0
        self._engine = _open(path)
        METADATA.create_all(self._engine)

    def close(self) -> None:
        """Release the database; the object cannot be used afterwards."""
        self._engine.dispose()

    # -- accepting ---------------------------------------------------------------------------------

    def accept(self, messages: Sequence[NewMessage]) -> list[StoredMessage]:
        """Keep the messages in one transaction and return them as stored."""
        rows = [_to_row(message) for message in messages]
        with self._lock, self._engine.begin() as connection:
            ids = [
                connection.execute(insert(MESSAGES).values(**row).returning(MESSAGES.c.id)).scalar_one() for row in rows
            ]
            self._since_prune += len(rows)
            if self._since_prune >= _PRUNE_EVERY:
                self._since_prune = 0
                self._forget_before(connection, ids[-1] - self._max)
            found = connection.execute(select(MESSAGES).where(MESSAGES.c.id.in_(ids)).order_by(MESSAGES.c.id))
            return [_message(row) for row in found]

    def _forget_before(self, connection: Connection, last_id: int) -> None:
        if last_id > 0:
            connection.execute(delete(MESSAGES).where(MESSAGES.c.id <= last_id))
            connection.execute(delete(CALLBACKS).where(CALLBACKS.c.sid.not_in(select(MESSAGES.c.sid))))

    def refuse(self, channel: Channel, recipient: str, code: str, reason: str, at: datetime) -> None:
        """Note that a message was turned away."""
        with self._lock, self._engine.begin() as connection:
            new_id = connection.execute(
                insert(REFUSALS)
                .values(channel=channel, recipient=recipient, code=code, reason=reason, at=at.isoformat())
                .returning(REFUSALS.c.id)
            ).scalar_one()
            connection.execute(delete(REFUSALS).where(REFUSALS.c.id <= new_id - self._max))

    def count_try(self, channel: Channel, recipient: str) -> int:
        """Count one more try to reach the recipient and return how many there were, this one included."""
        statement = sqlite_insert(TRIES).values(channel=channel, recipient=recipient, tries=1)
        statement = statement.on_conflict_do_update(
            index_elements=["channel", "recipient"], set_={"tries": TRIES.c.tries + 1}
        )
        with self._lock, self._engine.begin() as connection:
            return int(connection.execute(statement.returning(TRIES.c.tries)).scalar_one())

    # -- what happens afterwards ---------------------------------------------------------------------

    def set_status(
        self,
        sid: str,
        status: str,
        at: datetime,
        *,
        error_code: str = "",
        unless: frozenset[str] = frozenset(),
    ) -> bool:
        """Move a message to ``status`` unless it stands at one of ``unless``; True if it moved."""
        changes: dict[str, Any] = {"status": status, "error_code": error_code, "updated_at": at.isoformat()}
        if status in {"sent", "delivered"}:
            changes["sent_at"] = func.coalesce(func.nullif(MESSAGES.c.sent_at, ""), at.isoformat())
        statement = update(MESSAGES).where(MESSAGES.c.sid == sid, MESSAGES.c.status.not_in(unless)).values(changes)
        with self._lock, self._engine.begin() as connection:
            return connection.execute(statement).rowcount == 1

    def redact(self, sid: str, at: datetime) -> None:
        """Forget the text of a message, keep the fact of it."""
        with self._lock, self._engine.begin() as connection:
            connection.execute(
                update(MESSAGES).where(MESSAGES.c.sid == sid).values(body="", raw=None, updated_at=at.isoformat())
            )

    def delete(self, sid: str) -> bool:
        """Forget a message; True if there was one."""
        with self._lock, self._engine.begin() as connection:
            return connection.execute(delete(MESSAGES).where(MESSAGES.c.sid == sid)).rowcount == 1

    def note_callback(self, sid: str, status: str, attempt: int, result: str, at: datetime) -> None:
        """Record one try to deliver a callback."""
        with self._lock, self._engine.begin() as connection:
            connection.execute(
                insert(CALLBACKS).values(sid=sid, status=status, attempt=attempt, result=result, at=at.isoformat())
            )

    # -- asking --------------------------------------------------------------------------------------

    def messages(
        self,
        *,
        channel: Channel | None = None,
        to: str | None = None,
        sender: str | None = None,
        address_part: str | None = None,
        body_part: str | None = None,
        campaign: str | None = None,
        status: str | None = None,
        before_id: int | None = None,
        after_id: int | None = None,
        limit: int = 50,
    ) -> list[StoredMessage]:
        """Messages that meet every filter given, newest first (oldest first with ``after_id``)."""
        rules: list[ColumnElement[bool]] = []
        exact = {
            "channel": channel,
            "recipient": to,
            "sender": sender,
            "campaign": campaign,
            "status": status,
        }
        rules += [MESSAGES.c[name] == value for name, value in exact.items() if value is not None]
        if address_part:
            rules.append(MESSAGES.c.recipient.contains(address_part, autoescape=True))
        if body_part:
            rules.append(MESSAGES.c.body.contains(body_part, autoescape=True))
        if before_id is not None:
            rules.append(MESSAGES.c.id < before_id)
        if after_id is not None:
            rules.append(MESSAGES.c.id > after_id)
        order = MESSAGES.c.id.asc() if after_id is not None else MESSAGES.c.id.desc()
        with self._lock, self._engine.connect() as connection:
            found = connection.execute(select(MESSAGES).where(*rules).order_by(order).limit(limit)).all()
        return [_message(row) for row in found]

    def message(self, sid: str) -> StoredMessage | None:
        """The message with this sid, if the outbox holds it."""
        with self._lock, self._engine.connect() as connection:
            row = connection.execute(select(MESSAGES).where(MESSAGES.c.sid == sid)).first()
        return _message(row) if row is not None else None

    def message_by_id(self, message_id: int) -> StoredMessage | None:
        """The message with this number, if the outbox holds it."""
        with self._lock, self._engine.connect() as connection:
            row = connection.execute(select(MESSAGES).where(MESSAGES.c.id == message_id)).first()
        return _message(row) if row is not None else None

    def counts(self, channel: Channel | None = None, campaign: str | None = None) -> dict[str, int]:
        """How many messages were accepted for each recipient address."""
        statement = select(MESSAGES.c.recipient, func.count()).group_by(MESSAGES.c.recipient)
        if channel is not None:
            statement = statement.where(MESSAGES.c.channel == channel)
        if campaign is not None:
            statement = statement.where(MESSAGES.c.campaign == campaign)
        with self._lock, self._engine.connect() as connection:
            return {str(address): int(count) for address, count in connection.execute(statement)}

    def status_counts(self) -> dict[tuple[str, str], int]:
        """How many messages stand at each (channel, status)."""
        statement = select(MESSAGES.c.channel, MESSAGES.c.status, func.count()).group_by(
            MESSAGES.c.channel, MESSAGES.c.status
        )
        with self._lock, self._engine.connect() as connection:
            return {(str(c), str(s)): int(count) for c, s, count in connection.execute(statement)}

    def unfinished(self, channel: Channel) -> list[StoredMessage]:
        """Messages that have not reached their final state, oldest first."""
        final = {"sms": FINAL_STATES, "voice": CALL_FINAL_STATES}.get(channel, EMAIL_FINAL_STATES)
        statement = (
            select(MESSAGES)
            .where(MESSAGES.c.channel == channel, MESSAGES.c.status.not_in(final))
            .order_by(MESSAGES.c.id)
        )
        with self._lock, self._engine.connect() as connection:
            return [_message(row) for row in connection.execute(statement).all()]

    def refusals(self, *, channel: Channel | None = None, limit: int = 50) -> list[Refusal]:
        """The latest refusals, newest first."""
        statement = select(REFUSALS).order_by(REFUSALS.c.id.desc()).limit(limit)
        if channel is not None:
            statement = statement.where(REFUSALS.c.channel == channel)
        with self._lock, self._engine.connect() as connection:
            return [
                Refusal(row.id, row.channel, row.recipient, row.code, row.reason, datetime.fromisoformat(row.at))
                for row in connection.execute(statement).all()
            ]

    def callbacks(self, sid: str) -> list[CallbackRecord]:
        """Every try to deliver a callback of this message, in the order they were made."""
        statement = select(CALLBACKS).where(CALLBACKS.c.sid == sid).order_by(CALLBACKS.c.id)
        with self._lock, self._engine.connect() as connection:
            return [
                CallbackRecord(row.sid, row.status, row.attempt, row.result, datetime.fromisoformat(row.at))
                for row in connection.execute(statement).all()
            ]


def _open(path: Path | None) -> Engine:
    if path is None:
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA busy_timeout=10000")
        cursor.close()

    return engine


def _to_row(message: NewMessage) -> dict[str, Any]:
    row = {item.name: getattr(message, item.name) for item in fields(message)}
    row["accepted_at"] = row["updated_at"] = message.accepted_at.isoformat()
    row["send_at"] = message.send_at.isoformat() if message.send_at else ""
    row["sent_at"] = message.accepted_at.isoformat() if message.channel == "email" else ""
    return row


def _message(row: Row[Any]) -> StoredMessage:
    values = dict(row._mapping)
    for name in ("accepted_at", "updated_at", "sent_at", "send_at"):
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    return StoredMessage(**values)
