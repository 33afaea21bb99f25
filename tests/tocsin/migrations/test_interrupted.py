"""A migration that is killed, whose server stops, that meets another one or a busy table: the next one finishes it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text

from incidents.errors import Conflict
from incidents.record.database import open_engine, reading, writing
from tests.servers import own_postgres
from tests.tocsin.migrations.rows import Tables, shared
from tests.world import wait_for
from tocsin.migrations import run

pytestmark = pytest.mark.slow

BEFORE, LAST_TABLE = "0006", "kafka_offsets"
A_FEW = 6

MIDWAY = """
import sys
from sqlalchemy import event
from incidents.record.database import open_engine
from tocsin.migrations import run
engine = open_engine(sys.argv[1])
@event.listens_for(engine, "after_cursor_execute")
def stand_still(c, cursor, statement, *rest):
    if "CREATE TABLE " + sys.argv[2] in statement:
        print("midway", flush=True)
        sys.stdin.read()
run.upgrade(engine)
print("done", flush=True)
"""


@contextmanager
def migration_midway(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has made some steps and stands in the middle of the next."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", MIDWAY, url, LAST_TABLE]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "midway\n", process.stderr.read() if process.stderr else ""
            yield process
        finally:
            process.kill()


def with_rows(engine: Engine) -> Tables:
    tables = Tables(engine)
    run.upgrade(engine, BEFORE)
    tables.seed(range(1, 1 + A_FEW))
    return tables


def test_killed_midway_it_leaves_what_was_there_and_the_next_does_it_all(engine: Engine, empty_url: str) -> None:
    tables = with_rows(engine)
    old = tables.rows()
    with migration_midway(empty_url) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert run.current(engine) == BEFORE
    assert tables.rows() == old
    run.upgrade(engine)
    engine.dispose()

    assert run.is_current(engine)
    assert run.differences(engine) == []
    left, right = shared(old, tables.rows())
    assert left == right


def test_a_server_that_stops_midway_leaves_what_was_there(tmp_path: Path) -> None:
    server = own_postgres()
    server.start()
    try:
        engine = open_engine(server.url)
        tables = with_rows(engine)
        old = tables.rows()
        with migration_midway(server.url) as process:
            server.stop("immediate")
            server.start()
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait() != 0, "it says that it failed"
        engine.dispose()

        assert run.current(engine) == BEFORE
        run.upgrade(engine)
        engine.dispose()
        assert run.is_current(engine)
        left, right = shared(old, tables.rows())
        assert left == right
        engine.dispose()
    finally:
        server.remove()


def test_of_two_at_once_one_waits_and_finds_it_done(engine: Engine, empty_url: str) -> None:
    with_rows(engine)
    if engine.dialect.name == "sqlite":
        engine.dispose()
    with migration_midway(empty_url) as first, ThreadPoolExecutor(1) as pool:
        second = pool.submit(run.upgrade, engine)
        if engine.dialect.name == "postgresql":
            wait_for(lambda: _somebody_waits(empty_url) or None, "the second to wait for its turn")
        assert not second.done()
        assert first.stdin is not None
        assert first.stdout is not None
        first.stdin.close()
        assert first.stdout.readline() == "done\n"
        second.result()
    assert run.is_current(engine)
    assert run.differences(engine) == []


def _somebody_waits(url: str) -> bool:
    other = open_engine(url)
    try:
        with reading(other) as connection:
            found = connection.execute(
                text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            )
            return bool(found.scalar_one())
    finally:
        other.dispose()


def test_a_table_in_use_is_waited_for_without_holding_up_who_else_wants_it(
    engine: Engine, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "LOCK_SECONDS", 1)
    with_rows(engine)
    waited: list[float] = []
    other = open_engine(empty_url)
    with writing(other) as user:
        user.execute(text("UPDATE deadline_duties SET generation = generation"))

        def end_of_use(pause: float) -> None:
            waited.append(pause)
            user.commit()

        monkeypatch.setattr("tocsin.migrations.run.time.sleep", end_of_use)
        if engine.dialect.name == "sqlite":
            engine = _impatient(engine)
        run.upgrade(engine)
    other.dispose()
    assert waited == [run.PAUSES[0]]
    assert run.is_current(engine)


def test_tables_in_use_all_the_time_are_an_error_that_changed_nothing(
    engine: Engine, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "LOCK_SECONDS", 1)
    monkeypatch.setattr(run, "PAUSES", (0.0,))
    with_rows(engine)
    other = open_engine(empty_url)
    with writing(other) as user:
        user.execute(text("UPDATE deadline_duties SET generation = generation"))
        if engine.dialect.name == "sqlite":
            engine = _impatient(engine)
        with pytest.raises(Conflict, match="in use"):
            run.upgrade(engine)
    other.dispose()
    assert run.current(engine) == BEFORE


def _impatient(engine: Engine) -> Engine:
    """The same file, waited for a short while."""
    engine.dispose()

    @event.listens_for(engine, "connect")
    def hurry(connection: object, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout=50")  # type: ignore[attr-defined]

    return engine
