"""Waiting for what another process has to bring first: the database server, the schema. Start order does not matter."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from eventsourcing.persistence import PersistenceError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from tocsin.migrations.run import is_behind, refuse_if_too_new
from tocsin.migrations.steps import head

log = structlog.get_logger(__name__)

T = TypeVar("T")

PAUSE = 1.0
SAY_EVERY = 15.0
"""Seconds between two lines about the same thing."""


class NotYet(Exception):
    """Something is not there; its text says what."""


class Stopped(Exception):
    """The process was told to end while it waited."""


class Waiting:
    """Repeats what fails because something is not there yet, until it is there or `stop` is set."""

    def __init__(self, stop: threading.Event, *, pause: float = PAUSE) -> None:
        self._stop = stop
        self._pause = pause
        self._said_at = 0.0
        self.reason: str | None = "starting"
        """What is waited for; None when nothing is. For readiness."""

    def until(self, attempt: Callable[[], T]) -> T:
        """What `attempt` returns, once it does. Stopped when told to end."""
        while True:
            try:
                got = attempt()
            except (NotYet, DBAPIError, NoConnection, PersistenceError, OSError) as error:
                self._wait(_said_by(error))
            else:
                self.reason = None
                return got

    def _wait(self, reason: str) -> None:
        now = time.monotonic()
        if reason != self.reason or now - self._said_at >= SAY_EVERY:
            log.warning("waiting", reason=reason)
            self._said_at = now
        self.reason = reason
        if self._stop.wait(self._pause):
            raise Stopped


def schema_is_there(engine: Engine) -> None:
    """NotYet while the schema is older than this program needs. A newer one serves it too, unless something was taken
    away since that this program needs: UnknownSchema."""
    refuse_if_too_new(engine)
    if is_behind(engine):
        raise NotYet(f"the schema is not at step {head()} yet; `tocsin migrate` brings it there")


def _said_by(error: Exception) -> str:
    if isinstance(error, NotYet):
        return str(error)
    # The server's own words and nothing of the statement. They name the user and the database, never the password.
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(original).strip().splitlines()
    return f"the database does not answer: {lines[0] if lines else type(original).__name__}"
