"""Many may open a fresh database at once; start order does not matter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from incidents.record import Registry, open_record
from incidents.record.database import open_engine, reading

MANY = 8


def test_a_record_is_opened_by_many_at_once(database_url: str, registry: Registry) -> None:
    together = Barrier(MANY)

    def open_it(_: int) -> int:
        together.wait()
        with open_record(database_url, registry) as record:
            return record.head()

    with ThreadPoolExecutor(MANY) as threads:
        assert list(threads.map(open_it, range(MANY))) == [0] * MANY


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
