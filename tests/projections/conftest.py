"""Every test of this room runs on SQLite, and on PostgreSQL too where TOCSIN_TEST_POSTGRES_URL names a server.

The user of that address must be allowed to create databases: each test has one of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from incidents.clock import ManualClock
from incidents.record import Record, Registry, open_record
from incidents.record.database import open_engine
from tocsin.migrations.all_tables import all_tables

POSTGRES = os.environ.get("TOCSIN_TEST_POSTGRES_URL")
BACKENDS = ("sqlite", "postgresql") if POSTGRES else ("sqlite",)


@contextmanager
def fresh_database(backend: str, folder: Path) -> Iterator[str]:
    """The address of an empty database."""
    if backend == "sqlite":
        yield f"sqlite:///{folder / f'{uuid4().hex}.sqlite'}"
        return
    server = make_url(POSTGRES or "").set(drivername="postgresql+psycopg")
    name = f"tocsin_{uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@dataclass
class Installation:
    """A record and the tables beside it."""

    url: str
    record: Record
    engine: Engine
    clock: ManualClock
    registry: Registry
    _others: list[Record] = field(default_factory=list)

    def another_record(self) -> Record:
        """The same record opened once more, as another process would."""
        opened = open_record(self.url, self.registry)
        self._others.append(opened)
        return opened

    def close(self) -> None:
        for opened in (*self._others, self.record):
            opened.close()
        self.engine.dispose()


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def installation(empty_url: str, clock: ManualClock, registry: Registry) -> Iterator[Installation]:
    engine = open_engine(empty_url)
    all_tables().create_all(engine)
    made = Installation(empty_url, open_record(empty_url, registry), engine, clock, registry)
    yield made
    made.close()
