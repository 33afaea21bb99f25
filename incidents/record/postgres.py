"""The library's PostgreSQL recorders, connected as the engine beside them is."""

from __future__ import annotations

import json
from typing import Any, cast

from eventsourcing import postgres
from eventsourcing.utils import Environment, get_topic
from sqlalchemy.engine import URL

_PARAMETERS = "POSTGRES_PARAMETERS"


class Factory(postgres.PostgresFactory):
    """The library passes on database, host, port, user and password only; this one passes on whatever the address
    says (`?sslmode=verify-full&sslrootcert=...`). Parameters are those of libpq."""

    def __init__(self, env: Environment | dict[str, str] | None) -> None:
        super().__init__(env)
        pool = self.datastore.pool
        given = cast(dict[str, Any], pool.kwargs)
        pool.kwargs = {"row_factory": given["row_factory"], **json.loads(self.env.get(_PARAMETERS) or "{}")}


def settings_of(address: URL) -> dict[str, str]:
    """What makes the library connect to an address. ValueError for one that cannot be read."""
    psycopg = address.set(drivername="postgresql+psycopg")
    _, parameters = psycopg.get_dialect()().create_connect_args(psycopg)
    return {
        "PERSISTENCE_MODULE": get_topic(Factory),
        _PARAMETERS: json.dumps(parameters),
        # The library asks for these; the parameters hold them where the address names them.
        "POSTGRES_DBNAME": "",
        "POSTGRES_HOST": "",
        "POSTGRES_USER": "",
        "POSTGRES_PASSWORD": "",
    }
