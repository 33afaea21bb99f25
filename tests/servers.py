"""Real servers for tests: an address in the environment first, then what this machine can run, else a skip by name.

With CI=true a server that is missing is an error, not a skip: a green run must have tried everything.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn
from uuid import uuid4

import pytest
from sqlalchemy import URL, create_engine, make_url, text

from tests.emptied import EmptiedDatabases
from tests.kafka.broker import KafkaBroker, NoKafka, Security
from tests.kafka.shared import shared_broker
from tests.postgres import NoPostgres, PostgresServer

__all__ = [
    "BACKENDS",
    "KafkaBroker",
    "PostgresServer",
    "Security",
    "emptied_database",
    "fresh_database",
    "kafka",
    "own_kafka",
    "own_postgres",
    "postgres",
]

KAFKA_VARIABLE = "TOCSIN_TEST_KAFKA"
POSTGRES_VARIABLE = "TOCSIN_TEST_POSTGRES_URL"
BACKENDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.slow))


@contextmanager
def fresh_database(backend: str, folder: Path, *, migrated: bool = False) -> Iterator[str]:
    """The address of an empty database of that kind, dropped afterwards. `migrated`: with all tables."""
    if backend == "sqlite":
        file = folder / f"{uuid4().hex}.sqlite"
        if migrated:
            file.write_bytes(_migrated_file())
        yield f"sqlite:///{file}"
        return
    server = make_url(postgres()).set(drivername="postgresql+psycopg")
    name = f"tocsin_{uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}" + (f" TEMPLATE {_migrated(server)}" if migrated else "")))
    try:
        yield server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@contextmanager
def emptied_database(backend: str, folder: Path) -> Iterator[str]:
    """The address of a database of that kind with all tables and no rows."""
    if backend == "sqlite":
        with fresh_database(backend, folder, migrated=True) as address:
            yield address
        return
    server = make_url(postgres()).set(drivername="postgresql+psycopg")
    with _emptied(server).one() as name:
        yield server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)


@cache
def _emptied(server: URL) -> EmptiedDatabases:
    def run(statement: str) -> None:
        admin = create_engine(server, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(statement))
        admin.dispose()

    def make() -> str:
        name = f"tocsin_{uuid4().hex}"
        run(f"CREATE DATABASE {name} TEMPLATE {_migrated(server)}")
        return name

    databases = EmptiedDatabases(server, make, lambda name: run(f"DROP DATABASE {name} WITH (FORCE)"))
    atexit.register(databases.close)
    return databases


@cache
def _migrated(server: URL) -> str:
    """The name of a database with all tables and no rows, made once, to be copied."""
    name = f"tocsin_{uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")

    def run(statement: str) -> None:
        with admin.connect() as connection:
            connection.execute(text(statement))
        admin.dispose()

    run(f"CREATE DATABASE {name}")
    atexit.register(run, f"DROP DATABASE {name} WITH (FORCE)")
    _make_tables(server.set(drivername="postgresql", database=name).render_as_string(hide_password=False))
    return name


@cache
def _migrated_file() -> bytes:
    """An SQLite database with all tables and no rows, made once, to be copied."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "all.sqlite"
        _make_tables(f"sqlite:///{file}")
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return file.read_bytes()


def _make_tables(url: str) -> None:
    from incidents.record import Registry, open_record
    from incidents.record.database import open_engine
    from tocsin.migrations.run import upgrade

    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    open_record(url, Registry()).close()


def postgres() -> str:
    """The address of a PostgreSQL server whose user may create databases."""
    address = os.environ.get(POSTGRES_VARIABLE) or _own_postgres()
    if address is None:
        _missing(f"no PostgreSQL: set {POSTGRES_VARIABLE} or install the server")
    return address


def own_postgres(*options: str) -> PostgresServer:
    """A server of one's own to stop, kill and pause; not started yet. `remove` it in the end."""
    try:
        return PostgresServer(*options)
    except NoPostgres as error:
        _missing(f"no PostgreSQL of its own for this test: install the server ({error})")


def kafka() -> str:
    """The address of a Kafka broker that all tests of this run share: use topics and groups of your own in it.

    It makes a topic, with one partition, for every client that asks for it; those of Tocsin do not.
    """
    address = os.environ.get(KAFKA_VARIABLE)
    if address:
        return address
    try:
        return shared_broker()
    except NoKafka as error:
        _missing(f"no Kafka: set {KAFKA_VARIABLE}, or install Java 17 and Maven ({error})")


def own_kafka(folder: Path, *, partitions: int = 1, security: Security | None = None) -> KafkaBroker:
    """A broker of one's own to stop, kill, pause and wipe; not started yet."""
    try:
        return KafkaBroker(folder, partitions=partitions, security=security)
    except NoKafka as error:
        _missing(f"no Kafka of its own for this test: install Java 17 and Maven ({error})")


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@cache
def _own_postgres() -> str | None:
    """Start a server from this machine's binaries, once; it is stopped when the tests end."""
    try:
        # Nothing of it is kept, and making and dropping databases mostly waits for the disk.
        server = PostgresServer("fsync=off", "full_page_writes=off")
    except NoPostgres:
        return None
    atexit.register(server.remove)
    server.start()
    return server.url
