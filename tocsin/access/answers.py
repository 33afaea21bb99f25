"""Remembered answers: the same Idempotency-Key gets the same answer, without a second effect.

The effect itself is idempotent in the record (the command's id is made from the key), so a process killed between
effect and answer repeats the command harmlessly and then remembers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from incidents.clock import Clock
from incidents.errors import Conflict
from incidents.record.database import reading, writing
from tocsin.access.tables import remembered_answers

KEEP_FOR = timedelta(days=7)


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
        """Keep an answer; the first one wins."""
        try:
            with writing(self._engine) as connection:
                connection.execute(
                    insert(remembered_answers).values(
                        key_id=key_id,
                        idempotency_key=idempotency_key,
                        request_digest=request_digest,
                        status=answer.status,
                        body=answer.body,
                        headers=json.dumps(answer.headers),
                        answered_at=self._clock.now(),
                    )
                )
        except IntegrityError:
            return  # the same command came in twice at once; both answers are the same

    def forget_old(self) -> int:
        """Drop answers older than a week. Returns how many."""
        with writing(self._engine) as connection:
            return connection.execute(
                delete(remembered_answers).where(remembered_answers.c.answered_at < self._clock.now() - KEEP_FOR)
            ).rowcount
