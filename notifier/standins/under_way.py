"""What is under way for messages and calls: a task each, by their id, and the HTTP client that tells of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import httpx
import structlog

log = structlog.get_logger(__name__)


class UnderWay:
    """One task for each message, in the running event loop. `timeout`: the limit of one post, in seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._client: httpx.AsyncClient | None = None

    @property
    def client(self) -> httpx.AsyncClient:
        """Made when it is first asked for; `stop` closes it."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._timeout, trust_env=False)
        return self._client

    def has(self, sid: str) -> bool:
        """Whether anything is under way for it."""
        return sid in self._tasks

    def start(self, sid: str, work: Coroutine[None, None, None]) -> None:
        """Do this for it from now on."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[sid] = task
        task.add_done_callback(lambda done: self._finished(sid, done))

    async def cancel(self, sid: str) -> None:
        """End what is under way for it."""
        task = self._tasks.pop(sid, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def stop(self) -> None:
        """Stop all work; what is unfinished can be resumed later."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _finished(self, sid: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(sid) is task:
            del self._tasks[sid]
        if not task.cancelled() and task.exception() is not None:
            log.error("standin.callback_failed", sid=sid, error=type(task.exception()).__name__)
