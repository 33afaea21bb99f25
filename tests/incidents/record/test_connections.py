"""A server that says nothing is given up: statements end, frozen transactions end, connections heal."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import OperationalError

from incidents.errors import InvalidInput
from incidents.record import Registry, open_record
from incidents.record.connections import GRACE, IDLE_IN_TRANSACTION, limits_for, without_limits, without_pooler
from incidents.record.database import open_engine
from incidents.record.postgres import settings_of
from tests.faults.proxy import Proxy
from tests.servers import fresh_database
from tocsin.settings import Settings

pytestmark = pytest.mark.slow

PATIENCE = 2
VAULT = {"master_keys": "k1:BwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSY="}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with fresh_database("postgresql", tmp_path) as url:
        yield url


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    with Proxy.before(server) as proxy:
        yield proxy


@pytest.fixture
def through(server: str, proxy: Proxy) -> str:
    return proxy.through(server)


@pytest.fixture
def engine(through: str) -> Iterator[Engine]:
    engine = open_engine(through, patience=PATIENCE)
    yield engine
    engine.dispose()


def ask(engine: Engine, statement: str = "SELECT 1") -> object:
    with engine.connect() as connection:
        return connection.execute(text(statement)).scalar()


def test_a_statement_that_takes_too_long_is_ended(engine: Engine) -> None:
    with pytest.raises(OperationalError, match="statement timeout"):
        ask(engine, "SELECT pg_sleep(60)")
    assert ask(engine) == 1


def test_a_connection_that_falls_silent_is_given_up_and_the_next_is_good(engine: Engine, proxy: Proxy) -> None:
    assert ask(engine) == 1
    proxy.silent()
    began = time.monotonic()

    with pytest.raises(OperationalError, match="timeout"):
        ask(engine)

    assert time.monotonic() - began < 4 * (PATIENCE + GRACE), "pre-ping, then a new connection, then enough"
    proxy.speak()
    assert ask(engine) == 1


def test_a_connection_that_breaks_is_replaced(engine: Engine, proxy: Proxy) -> None:
    assert ask(engine) == 1
    proxy.cut()
    assert ask(engine) == 1


def test_the_record_gives_up_and_heals_too(server: str, through: str, proxy: Proxy) -> None:
    with open_record(server, Registry([])):
        pass  # its tables are there
    with open_record(through, Registry([]), patience=PATIENCE) as record:
        assert record.head() == 0
        proxy.cut()
        assert record.head() == 0
        made = proxy.connections
        proxy.silent()
        spoken = time.monotonic() + PATIENCE + GRACE + 1

        def speak() -> None:
            time.sleep(max(0.0, spoken - time.monotonic()))
            proxy.speak()

        speaker = threading.Thread(target=speak)
        speaker.start()
        assert record.head() == 0, "asked again on a new connection"
        speaker.join()
        assert proxy.connections > made, "the silent one was given up"


def test_a_transaction_whose_process_does_nothing_is_ended(server: str) -> None:
    assert str(IDLE_IN_TRANSACTION) in limits_for(make_url(server), PATIENCE)["options"]
    engine = open_engine(server)
    assert ask(engine, "SHOW idle_in_transaction_session_timeout") == f"{IDLE_IN_TRANSACTION}s"
    engine.dispose()


def test_the_address_goes_before_our_limits() -> None:
    address = make_url(
        "postgresql://h/d?connect_timeout=2&options=-c%20statement_timeout%3D5s%20-c%20application_name%3Dx"
    )

    limits = limits_for(address, 30)

    assert "connect_timeout" not in limits
    assert limits["options"].count("statement_timeout") == 1
    assert "application_name=x" in limits["options"]


def test_nothing_is_sent_that_a_pooler_refuses() -> None:
    for mode, prepares in (("session", True), ("transaction", False)):
        address = make_url(f"postgresql://h/d?connect_timeout=2&pooler={mode}")
        limits = limits_for(address, 30)
        given = json.loads(settings_of(address)["POSTGRES_PARAMETERS"])

        assert "options" not in limits
        assert limits.get("prepare_threshold", 5) == (5 if prepares else None)
        for parameters in (dict(without_pooler(address).query), given):
            assert "pooler" not in parameters
            assert parameters["connect_timeout"] == "2"
        assert Settings(database_url=address.render_as_string(), vault=VAULT).hears_commits is prepares
    with pytest.raises(InvalidInput, match="session"):
        limits_for(make_url("postgresql://h/d?pooler=statement"), 30)


def test_behind_a_pooler_of_transactions_nothing_is_prepared(server: str) -> None:
    prepared = "SELECT count(*) AS n FROM pg_prepared_statements"
    for url, expected in ((server, True), (f"{server}?pooler=transaction", False)):
        engine = open_engine(url)
        with engine.connect() as connection:
            for _ in range(10):
                connection.execute(text("SELECT 1"))
            assert bool(connection.execute(text(prepared)).scalar()) is expected
        engine.dispose()
        with (
            open_record(url, Registry()) as record,
            record.process_recorder.datastore.transaction() as cursor,  # type: ignore[attr-defined]
        ):
            for _ in range(10):
                cursor.execute("SELECT 1", prepare=True)
            assert bool(cursor.execute(prepared).fetchone()["n"]) is expected


def test_a_migration_may_take_its_time(server: str) -> None:
    engine = open_engine(server, patience=PATIENCE)
    with engine.connect() as connection, connection.begin(), without_limits(connection):
        connection.execute(text(f"SELECT pg_sleep({PATIENCE + 1})"))
        assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == "5min"
    with pytest.raises(OperationalError, match="statement timeout"):
        ask(engine, f"SELECT pg_sleep({PATIENCE + 1})")
    engine.dispose()
