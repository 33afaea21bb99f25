"""Connections to PostgreSQL that are given up when the other end is silent, instead of waited for without end.

A server or network that breaks is noticed at once. One that falls silent is not: nothing says that an answer will not
come. So each side gets limits of its own: the server ends statements and idle transactions that take too long, the
system ends connections whose packets nobody confirms, and a connection of ours ends itself when an answer is overdue,
which also holds where something between the two (a proxy, a pooler) confirms packets and passes nothing on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy
from psycopg import Connection, OperationalError, pq
from psycopg.abc import PQGen
from sqlalchemy import text
from sqlalchemy.engine import URL

from incidents.errors import InvalidInput
from incidents.record.database import PATIENCE

R = TypeVar("R")

IDLE_IN_TRANSACTION = 10
"""Seconds after which the server ends a transaction whose process does nothing: it may have been stopped in the middle,
and others wait for what it holds."""
IDLE_IN_MIGRATION = 300
"""The same for a migration: on a machine that is short of everything it thinks for long between two statements, and
ending it would only make it begin again."""
CONNECTING = 5
"""Seconds that connecting to one address may take."""
GRACE = 5
"""Seconds beyond a statement's own limit after which its connection is given up: the server should have ended it."""


class BoundedConnection(Connection[Any]):
    """Ends itself when an answer is overdue."""

    patience: float | None = PATIENCE + GRACE
    """Seconds; None for no limit."""

    def wait(self, gen: PQGen[R], interval: float = 0.1, timeout: float | None = None) -> R:
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except OperationalError:
            if self.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
                # Whatever the server says later must not be taken for the answer to the next question.
                self.pgconn.finish()
            raise


def bounded_by(patience: int) -> type[BoundedConnection]:
    """The class of connections whose statements may take `patience` seconds."""
    return type("BoundedConnection", (BoundedConnection,), {"patience": patience + GRACE})


POOLER = "pooler"
"""A parameter of addresses that is ours and not libpq's: what PgBouncer in between hands out, `session`s or
`transaction`s. It knows no `options`; and of a statement that was prepared it knows nothing in the next transaction."""


def pooler_of(address: URL) -> str:
    """Which of the two; empty when the server is reached without one. InvalidInput for anything else."""
    named = str(address.query.get(POOLER, ""))
    if named not in {"", "session", "transaction"}:
        raise InvalidInput(f"`{POOLER}` in the database's address is `session` or `transaction`.", field="database_url")
    return named


def limits_for(address: URL, patience: int) -> dict[str, Any]:
    """libpq's parameters that bound waiting, and how psycopg is to prepare; those that the address names itself are
    left to it. Behind a pooler the server's own limits are for its operator to set (`ALTER ROLE`)."""
    named = str(address.query.get("options", ""))
    settings = {
        "statement_timeout": f"{patience}s",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION}s",
    }
    options = [f"-c {name}={value}" for name, value in settings.items() if name not in named]
    limits = {
        "connect_timeout": str(CONNECTING),
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": str((patience + GRACE) * 1000),
    }
    limits = {name: value for name, value in limits.items() if name not in address.query}
    match pooler_of(address):
        case "":
            return limits | {"options": " ".join([*options, named]).strip()}
        case "transaction":
            return limits | {"prepare_threshold": None}
        case _:
            return dict(limits)


def without_pooler(address: URL) -> URL:
    """The address as libpq knows it."""
    return address.difference_update_query([POOLER])


@contextmanager
def without_limits(connection: sqlalchemy.Connection) -> Iterator[None]:
    """For the rest of a transaction statements may take as long as they need, and thinking between them longer than
    elsewhere: migrations do."""
    driver = connection.connection.driver_connection
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_IN_MIGRATION}s'"))
    if not isinstance(driver, BoundedConnection):
        yield
        return
    before, driver.patience = driver.patience, None
    try:
        yield
    finally:
        driver.patience = before
