"""Group commit: steps asked for at the same time share one transaction, and each waits until it is durable.

Ten sends that are about to write cost one commit, not ten; and the engine's own threads never wait for each other's
lock on the database. A step that fails undoes the group; then each is made by itself, so that it costs the others
nothing but time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError, OperationalError

from notifier.deliveries.book import DeliveryBook
from notifier.deliveries.faults import place_of
from notifier.deliveries.moves import Moves

log = structlog.get_logger(__name__)

T = TypeVar("T")
Step = Callable[[Moves], Any]

MOST_AT_ONCE = 100
ENOUGH = 3
"""So many steps in a row that fail for the database say that the rest will too."""


class _Asked(NamedTuple):
    step: Step
    key: bytes
    future: asyncio.Future[Any]


class Journal:
    """Runs steps on the book, in the order they were asked for."""

    def __init__(self, book: DeliveryBook) -> None:
        self._book = book
        self._waiting: list[_Asked] = []
        self._writer: asyncio.Task[None] | None = None

    async def do(self, step: Callable[[Moves], T], key: bytes = b"") -> T:
        """Run the step in the next transaction; returns when that is committed, or raises what the step raised.

        `key` tells whom it locks (`person_key`). Within a transaction steps go in the order of their keys, the same
        for every worker, so that none waits for what another holds and holds what that one waits for; those of one
        person keep their order.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(step, key, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        # A cancelled caller must not take the others' transaction down with it.
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)

    async def _write(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            group.sort(key=lambda asked: asked.key)
            steps = [asked.step for asked in group]
            try:
                results: list[Any] = await asyncio.to_thread(self._commit, steps)
            except Exception as error:  # noqa: BLE001 - whatever it is, each step is made by itself, or gets it
                log.warning("journal.group-failed", steps=len(steps), **place_of(error))
                results = [error] if len(group) == 1 else await asyncio.to_thread(self._commit_singly, steps, error)
            for asked, result in zip(group, results, strict=True):
                if asked.future.done():
                    continue
                if isinstance(result, Exception):
                    asked.future.set_exception(result)
                    asked.future.exception()  # read here: the asker may be gone
                else:
                    asked.future.set_result(result)

    def _commit(self, steps: list[Step]) -> list[Any]:
        with self._book.transaction() as moves:
            return [step(moves) for step in steps]

    def _commit_singly(self, steps: list[Step], error: Exception) -> list[Any]:
        """The result of each step, or what it raised. Where the database is away, all get what the group got."""
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return [error] * len(steps)
        results: list[Any] = []
        failed = 0
        for step in steps:
            try:
                results += self._commit([step])
                failed = 0
            except OperationalError as broke:
                failed += 1
                results.append(broke)
            except Exception as broke:  # noqa: BLE001 - it goes to who asked, who logs it
                results.append(broke)
            if failed >= ENOUGH:
                return results + [results[-1]] * (len(steps) - len(results))
        return results
