"""Group commit: steps asked for at the same time share one transaction, and each waits until it is durable.

Ten sends that are about to write cost one commit, not ten; and the engine's own threads never wait for each other's
lock on the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from notifier.deliveries.book import DeliveryBook
from notifier.deliveries.moves import Moves

T = TypeVar("T")
Step = Callable[[Moves], Any]

MOST_AT_ONCE = 100


class Journal:
    """Runs steps on the book, in the order they were asked for."""

    def __init__(self, book: DeliveryBook) -> None:
        self._book = book
        self._waiting: list[tuple[Step, asyncio.Future[Any]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def do(self, step: Callable[[Moves], T]) -> T:
        """Run the step in the next transaction; returns when that is committed. An error undoes the transaction and
        goes to everybody in it."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((step, future))
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
            try:
                results = await asyncio.to_thread(self._commit, [step for step, _ in group])
            except Exception as error:  # noqa: BLE001 - whatever it is goes to those who asked, none is lost
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                        future.exception()  # read here: the asker may be gone
            else:
                for (_, future), result in zip(group, results, strict=True):
                    if not future.done():
                        future.set_result(result)

    def _commit(self, steps: list[Step]) -> list[Any]:
        with self._book.transaction() as moves:
            return [step(moves) for step in steps]
