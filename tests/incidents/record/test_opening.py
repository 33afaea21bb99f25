"""Many may open a fresh database at once; start order does not matter."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Timer
from typing import cast

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from incidents.record import Registry, open_record
from incidents.record.database import open_engine, reading, writing
from incidents.record.postgres import Factory, settings_of
from tests.servers import fresh_database

MANY = 8


def test_a_record_is_opened_by_many_at_once(database_url: str, registry: Registry) -> None:
    together = Barrier(MANY)

    def open_it(_: int) -> int:
        together.wait()
        with open_record(database_url, registry) as record:
            return record.head()

    with ThreadPoolExecutor(MANY) as threads:
        assert list(threads.map(open_it, range(MANY))) == [0] * MANY


def test_opening_waits_while_another_process_sets_the_file_up(registry: Registry, tmp_path: Path) -> None:
    """Turning to the write-ahead log is refused at once while another has the file, however long it may wait."""
    file = tmp_path / "record.sqlite"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE begun (step)")
    other.execute("BEGIN IMMEDIATE")
    done = Timer(2.5, other.rollback)  # longer than any fixed handful of tries
    done.start()

    with open_record(f"sqlite:///{file}", registry) as record:
        assert record.head() == 0

    done.join()
    other.close()


def test_the_record_is_reached_with_all_that_the_address_says() -> None:
    address = make_url("postgresql://lan:word@db.example:5433/tocsin?sslmode=verify-full&sslrootcert=/etc/ca.pem")

    pool = Factory(settings_of(address)).datastore.pool

    assert isinstance(pool.kwargs, dict)
    assert {
        "host": "db.example",
        "port": 5433,
        "user": "lan",
        "password": "word",
        "dbname": "tocsin",
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ca.pem",
    }.items() <= pool.kwargs.items()


@pytest.mark.slow
def test_parameters_of_the_address_reach_the_server(registry: Registry, tmp_path: Path) -> None:
    with (
        fresh_database("postgresql", tmp_path) as url,
        open_record(f"{url}?application_name=night-watch", registry) as record,
        cast(Factory, record.factory).datastore.transaction() as cursor,
    ):
        cursor.execute("SHOW application_name")
        assert cursor.fetchone() == {"application_name": "night-watch"}


def test_tables_beside_it_are_reached_by_many_at_once(database_url: str) -> None:
    together = Barrier(MANY)

    def connect(_: int) -> int:
        engine = open_engine(database_url)
        together.wait()
        try:
            with reading(engine) as connection:
                return int(connection.exec_driver_sql("SELECT 1").scalar_one())
        finally:
            engine.dispose()

    with ThreadPoolExecutor(MANY) as threads:
        assert list(threads.map(connect, range(MANY))) == [1] * MANY


@pytest.mark.slow
def test_a_column_changed_by_a_migration_costs_a_running_process_one_statement(tmp_path: Path) -> None:
    """The driver prepares what it runs often, and the server refuses it from then on in the same connection."""
    with fresh_database("postgresql", tmp_path) as url:
        engine = open_engine(url)

        def look() -> str:
            with reading(engine) as connection:
                return str(connection.exec_driver_sql("SELECT word FROM words").scalar_one())

        with writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE words (word varchar(4))")
            connection.exec_driver_sql("INSERT INTO words VALUES ('bell')")
        assert {look() for _ in range(8)} == {"bell"}
        other = open_engine(url)
        with writing(other) as connection:
            connection.exec_driver_sql("ALTER TABLE words ALTER COLUMN word TYPE varchar(8)")
        other.dispose()

        with pytest.raises(DBAPIError, match="cached plan"):
            look()

        assert {look() for _ in range(8)} == {"bell"}
        engine.dispose()
