"""Remembered answers: the same Idempotency-Key gets the same answer, without a second effect.

The effect itself is idempotent in the record (the command's id is made from the key), so a process killed between
effect and answer repeats the command harmlessly and then remembers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from incidents.clock import Clock
from incidents.errors import Conflict
from incidents.record.database import reading, writing
from tocsin.access.tables import remembered_answers

KEEP_FOR = timedelta(days=7)
FIRST_REFUSAL = 400
"""HTTP statuses from here on say that the command had no effect (RFC 9110 section 15.5)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as it was given."""

    status: int
    body: str
    headers: dict[str, str]


class Answers:
    """Answers by key and Idempotency-Key."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def recall(self, key_id: str, idempotency_key: str, request_digest: bytes) -> Answer | None:
        """The answer given before. Conflict when the key was used for another request."""
        table = remembered_answers
        with reading(self._engine) as connection:
            row = connection.execute(
                select(table).where(table.c.key_id == key_id, table.c.idempotency_key == idempotency_key)
            ).first()
        if row is None:
            return None
        if row.request_digest != request_digest:
            raise Conflict(
                "This Idempotency-Key was used for another request. Use a new one for a new command.",
                field="Idempotency-Key",
            )
        return Answer(row.status, row.body, json.loads(row.headers))

    def remember(self, key_id: str, idempotency_key: str, request_digest: bytes, answer: Answer) -> None:
        """Keep an answer. The first one wins, but for a refusal that is followed by a success of the same request:
        the command came in several times at once, and what it did must not stay hidden behind the refusal."""
        table = remembered_answers
        values = {
            "status": answer.status,
            "body": answer.body,
            "headers": json.dumps(answer.headers),
            "answered_at": self._clock.now(),
        }
        row = {"key_id": key_id, "idempotency_key": idempotency_key, "request_digest": request_digest, **values}
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(table).values(row))
        except IntegrityError:
            if answer.status >= FIRST_REFUSAL:
                return
            with writing(self._engine) as connection:
                connection.execute(
                    update(table)
                    .where(
                        table.c.key_id == key_id,
                        table.c.idempotency_key == idempotency_key,
                        table.c.request_digest == request_digest,
                        table.c.status >= FIRST_REFUSAL,
                    )
                    .values(values)
                )

    def forget_old(self) -> int:
        """Drop answers older than a week. Returns how many."""
        with writing(self._engine) as connection:
            return connection.execute(
                delete(remembered_answers).where(remembered_answers.c.answered_at < self._clock.now() - KEEP_FOR)
            ).rowcount
