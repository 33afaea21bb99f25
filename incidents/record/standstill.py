"""Processes that stand still while the server waits for them.

The server ends what it executes for too long and transactions that nobody goes on with. To it a statement that it has
half received is neither, nor a COPY that waits for its rows, nor an answer that nobody reads. A process that is stopped
there, or whose network falls silent, would keep all that it has locked. So whoever has waited for a lock until the
server ended the wait looks whether such a one is in the way.
"""

from __future__ import annotations

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from incidents.record.bulk import COPY_MARK

log = structlog.get_logger(__name__)

STANDSTILL_SECONDS = 10
"""Age from which a statement that waits for its client is ended: as long as a process may think between two statements
of a transaction. A bulk insert has all its rows ready before it begins and takes milliseconds; any other COPY may take
as long as it likes. An answer that is not read is left alone for as long as the server lets a statement take."""

_WAITED = {"57014", "55P03"}  # query_canceled (by statement_timeout), lock_not_available
_END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity AS a "
    "WHERE datname = current_database() AND usename = current_user AND state = 'active' "
    "AND (query LIKE :bulk OR query NOT ILIKE 'COPY%') AND wait_event IN ('ClientRead', 'ClientWrite') "
    "AND clock_timestamp() - query_start > greatest(make_interval(secs => :seconds), "
    "CASE wait_event WHEN 'ClientWrite' THEN current_setting('statement_timeout')::interval END) "
    # It has written or locked rows; who only reads is in nobody's way.
    "AND EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND mode IN ('RowShareLock', 'RowExclusiveLock'))"
)


def waited_in_vain(error: BaseException) -> bool:
    """Whether PostgreSQL ended a statement because it took too long; most of these wait for a lock."""
    driver = getattr(error, "orig", None) or error
    return getattr(driver, "sqlstate", None) in _WAITED


def end_standstill(engine: Engine) -> int:
    """End the connections that stand still and hold locks. Returns how many; raises nothing, for it is called while
    another error is on its way."""
    values = {"bulk": f"COPY {COPY_MARK}%", "seconds": STANDSTILL_SECONDS}
    try:
        with engine.connect() as connection:
            ended = len(connection.execute(_END, values).all())
    except SQLAlchemyError as error:
        log.warning("database.standstill-not-ended", reason=type(error).__name__)
        return 0
    if ended:
        log.warning("database.standstill-ended", connections=ended)
    return ended
