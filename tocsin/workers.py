"""Worker threads of a process: each repeats one piece of work, sleeps when there is none, survives failures.

The work itself is idempotent and kept in the database; a worker holds nothing that a kill could lose.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import math
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import structlog

from incidents.record import Record
from tocsin.observability.metrics import Metrics

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""How long work of another process may go unnoticed; work of this process wakes the workers at once."""
FAILURES_IN_A_ROW = 3
"""From so many on, a worker makes the service not ready: its clocks stand still."""
LAST_SECONDS = 5.0
"""What workers get to end even if their time went by while the door closed."""
SWITCH_SECONDS = 0.001
"""For which a thread may keep Python's lock while another waits for it (Python's own: 0.005)."""
BACK_OFF_SECONDS = 5.0
"""Pause after a failure that is not the work's own (a database away, a disk full)."""


class Worker(Protocol):
    """Something that runs in a thread of its own until it is told to stop."""

    name: str

    @property
    def failures(self) -> int:
        """Failures in a row; 0 when the last turn went well."""
        ...

    def run(self, stop: threading.Event) -> None: ...

    def wake(self) -> None: ...


class Paced:
    """Work that is done at most once in so many seconds, however often its worker is woken. The first time at once."""

    def __init__(
        self, work: Callable[[], int], every_seconds: float, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._work = work
        self._every = every_seconds
        self._monotonic = monotonic
        self._next = -math.inf

    def __call__(self) -> int:
        """Work if it is time to. Always 0: there is nothing to go on with at once."""
        if self._monotonic() >= self._next:
            self._work()
            self._next = self._monotonic() + self._every
        return 0


Pause = float | Callable[[], float]
"""Seconds, or who says how many it is this time."""


class RepeatingWorker:
    """Repeats `work` while it returns that something was done, then waits to be woken, but not longer than a pause."""

    def __init__(
        self, name: str, work: Callable[[], int], metrics: Metrics, *, poll_seconds: Pause = POLL_SECONDS
    ) -> None:
        self.name = name
        self._work = work
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._something_new = threading.Event()
        self.failures = 0

    def wake(self) -> None:
        self._something_new.set()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._something_new.clear()
            try:
                while self._work() and not stop.is_set():
                    pass
                self.failures = 0
                self._something_new.wait(self._pause())
            except Exception:
                # The work repeats from what the database says; giving up would silently stop the clocks.
                self.failures += 1
                log.exception("worker.failed", worker=self.name)
                self._metrics.worker_faults.labels(self.name).inc()
                stop.wait(BACK_OFF_SECONDS)

    def _pause(self) -> float:
        return self._poll_seconds() if callable(self._poll_seconds) else self._poll_seconds


def settle_in() -> None:
    """Call once in a process, when all is loaded: what stands by now is not looked through for garbage again, and its
    threads take turns more often than Python lets them by itself. (One that reads or writes rows lets go of Python's
    lock at each of them, and queues to have it back behind the loop that sends.)"""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)


def fast_loop() -> asyncio.AbstractEventLoop:
    """An event loop on libuv where that is installed, else Python's own: mail goes out faster by half."""
    try:
        import uvloop
    except ImportError:  # not on Windows, not on PyPy
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class AsyncWorker:
    """The same for asynchronous work, in a loop of its own; `begin` runs before the first turn, `close` at the end."""

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[int]],
        metrics: Metrics,
        *,
        begin: Callable[[], Awaitable[object]],
        close: Callable[[], Awaitable[None]],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.name = name
        self._work = work
        self._begin = begin
        self._close = close
        self._begun = False
        self.failures = 0
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._something_new: asyncio.Event | None = None

    def wake(self) -> None:
        with self._lock:
            if self._loop is not None and self._something_new is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._something_new.set)

    def run(self, stop: threading.Event) -> None:
        with asyncio.Runner(loop_factory=fast_loop) as runner:
            runner.run(self._run(stop))

    async def _run(self, stop: threading.Event) -> None:
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._something_new = asyncio.Event()
        something_new = self._something_new
        try:
            while not stop.is_set():
                something_new.clear()
                await self._turn(stop, something_new)
        finally:
            with self._lock:
                self._loop = None
            await self._close()

    async def _turn(self, stop: threading.Event, something_new: asyncio.Event) -> None:
        try:
            if not self._begun:
                await self._begin()
                self._begun = True
            while await self._work() and not stop.is_set():
                pass
            self.failures = 0
        except Exception:
            # As above: what failed is repeated from the database, but not at every wake.
            self.failures += 1
            log.exception("worker.failed", worker=self.name)
            self._metrics.worker_faults.labels(self.name).inc()
            await asyncio.to_thread(stop.wait, BACK_OFF_SECONDS)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(something_new.wait(), self._poll_seconds)


@runtime_checkable
class Telling(Protocol):
    """A worker that can say what keeps it from its work."""

    def fault(self) -> str | None:
        """None when nothing does. Nothing in it that must stay in the house: readiness shows it."""
        ...


class Workers:
    """All workers of this process."""

    def __init__(self, workers: Sequence[Worker], record: Record, stop: threading.Event | None = None) -> None:
        """`stop` is set once they should end."""
        self._workers = tuple(workers)
        self._record = record
        self._stop = stop or threading.Event()
        self._asked_at = 0.0
        self._threads: dict[str, threading.Thread] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._workers)

    def start(self) -> None:
        """Start a thread for each worker; every commit of this process wakes them."""
        for worker in self._workers:
            # Lines that a worker logs say which process it is of, as those of the main thread do.
            run = partial(contextvars.copy_context().run, worker.run, self._stop)
            thread = threading.Thread(target=run, name=f"worker-{worker.name}", daemon=True)
            self._threads[worker.name] = thread
            thread.start()
        self._record.add_waker(self.wake)

    def wake(self) -> None:
        for worker in self._workers:
            worker.wake()

    def ask_to_stop(self) -> None:
        """Let all begin nothing new, and finish what they are at. Returns at once."""
        if not self._stop.is_set():
            self._asked_at = time.monotonic()
        self._stop.set()
        self.wake()

    def stop(self, timeout: float = 20.0) -> bool:
        """Ask all to stop and wait until so many seconds after they were first asked, but for a few in any case. False
        when one did not (what it holds is released by its lease)."""
        self._record.remove_waker(self.wake)
        self.ask_to_stop()
        end = max(self._asked_at + timeout, time.monotonic() + LAST_SECONDS)
        for thread in self._threads.values():
            thread.join(max(0.0, end - time.monotonic()))
        alive = [name for name, thread in self._threads.items() if thread.is_alive()]
        if alive:
            log.error("workers.not-stopped", workers=alive)
        return not alive

    def failing(self) -> list[str]:
        """Names of workers that fail again and again."""
        return [worker.name for worker in self._workers if worker.failures >= FAILURES_IN_A_ROW]

    def told_by(self, name: str) -> str | None:
        """What a worker says that keeps it from its work; None when its log alone says it."""
        return next((w.fault() for w in self._workers if w.name == name and isinstance(w, Telling)), None)

    @property
    def stopping(self) -> bool:
        """Whether they were asked to stop."""
        return self._stop.is_set()

    def dead(self) -> list[str]:
        """Names of workers whose thread has ended although nobody stopped them."""
        if self._stop.is_set():
            return []
        return [name for name, thread in self._threads.items() if not thread.is_alive()]
