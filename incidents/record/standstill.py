"""Processes that stand still in the middle of a COPY.

The server ends what it executes for too long and transactions that nobody goes on with, but no COPY that waits for its
data: to it that is neither. A process that is stopped there, or whose network falls silent, would keep all that it has
locked. So whoever has waited for a lock until the server ended the wait looks whether such a one is in the way.
"""

from __future__ import annotations

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from incidents.record.bulk import COPY_MARK

log = structlog.get_logger(__name__)

STANDSTILL_SECONDS = 10
"""Age from which a COPY of a bulk insert that waits for its client is ended: it has all its rows ready before it begins
and takes milliseconds. As long as a process may think between two statements of a transaction."""

_WAITED = {"57014", "55P03"}  # query_canceled (by statement_timeout), lock_not_available
_END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND usename = current_user AND state = 'active' AND wait_event = 'ClientRead' "
    "AND query LIKE :begins "
    "AND clock_timestamp() - query_start > make_interval(secs => :seconds)"
)


def waited_in_vain(error: BaseException) -> bool:
    """Whether PostgreSQL ended a statement because it took too long; most of these wait for a lock."""
    driver = getattr(error, "orig", None) or error
    return getattr(driver, "sqlstate", None) in _WAITED


def end_standstill(engine: Engine) -> int:
    """End the connections that stand still in a bulk insert. Returns how many; raises nothing, for it is called while
    another error is on its way."""
    values = {"begins": f"COPY {COPY_MARK}%", "seconds": STANDSTILL_SECONDS}
    try:
        with engine.connect() as connection:
            ended = len(connection.execute(_END, values).all())
    except SQLAlchemyError as error:
        log.warning("database.standstill-not-ended", reason=type(error).__name__)
        return 0
    if ended:
        log.warning("database.standstill-ended", connections=ended)
    return ended
