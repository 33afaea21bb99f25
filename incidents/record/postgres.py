"""The library's PostgreSQL factory: our recorder, connected as the engine beside it is."""

from __future__ import annotations

import json
from typing import Any, cast

from eventsourcing import postgres
from eventsourcing.utils import Environment, get_topic
from sqlalchemy.engine import URL

from incidents.record.connections import CONNECTING, IDLE_IN_TRANSACTION, bounded_by, limits_for, without_pooler
from incidents.record.database import CONNECTIONS, PATIENCE
from incidents.record.postgres_recorder import LOCK_SECONDS, BinaryCursor, EventRecorder

_PARAMETERS = "POSTGRES_PARAMETERS"
_PATIENCE = "POSTGRES_PATIENCE"
_RECONNECTING = 3.0
"""Seconds for which the pool tries one connection again. Its pauses double, so trying longer would heal later: whoever
asks next starts anew, at once."""


class Factory(postgres.PostgresFactory):
    """The library passes on database, host, port, user and password only; this one passes on whatever the address
    says (`?sslmode=verify-full&sslrootcert=...`). Parameters are those of libpq."""

    process_recorder_class = EventRecorder

    def __init__(self, env: Environment | dict[str, str] | None) -> None:
        super().__init__(env)
        pool = self.datastore.pool
        given = cast(dict[str, Any], pool.kwargs)
        pool.kwargs = {
            **json.loads(self.env.get(_PARAMETERS) or "{}"),
            "row_factory": given["row_factory"],
            "cursor_factory": BinaryCursor,
        }
        pool.connection_class = bounded_by(int(self.env.get(_PATIENCE) or PATIENCE))
        pool.reconnect_timeout = _RECONNECTING


def settings_of(address: URL, *, patience: int = PATIENCE, connections: int = CONNECTIONS) -> dict[str, str]:
    """What makes the library connect to an address. ValueError for one that cannot be read."""
    psycopg = without_pooler(address).set(drivername="postgresql+psycopg")
    _, parameters = psycopg.get_dialect()().create_connect_args(psycopg)
    return {
        "PERSISTENCE_MODULE": get_topic(Factory),
        _PARAMETERS: json.dumps({**parameters, **limits_for(address, patience)}),
        _PATIENCE: str(patience),
        "POSTGRES_POOL_SIZE": "1",
        "POSTGRES_MAX_OVERFLOW": str(connections - 1),
        "POSTGRES_CONNECT_TIMEOUT": str(CONNECTING),
        "POSTGRES_IDLE_IN_TRANSACTION_SESSION_TIMEOUT": str(IDLE_IN_TRANSACTION),
        "POSTGRES_LOCK_TIMEOUT": str(LOCK_SECONDS),
        # The library asks for these; the parameters hold them where the address names them.
        "POSTGRES_DBNAME": "",
        "POSTGRES_HOST": "",
        "POSTGRES_USER": "",
        "POSTGRES_PASSWORD": "",
    }
