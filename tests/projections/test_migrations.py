"""The migrated schema is the schema of the code, up and down, on each database."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, Table, inspect, text

from incidents.record import Registry, open_record
from incidents.record.database import metadata, open_engine, reading, writing
from tocsin.migrations import run
from tocsin.migrations.all_tables import ROOMS, all_tables
from tocsin.migrations.steps import head
from tocsin.migrations.tables import schema_support
from tocsin.waiting import NotYet, schema_is_there


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    opened = open_engine(empty_url)
    yield opened
    opened.dispose()


def tables(engine: Engine) -> set[str]:
    """All but partitions, which are parts of their tables."""
    found = set(inspect(engine).get_table_names())
    if engine.dialect.name == "postgresql":
        with reading(engine) as connection:
            found -= set(connection.execute(text("SELECT relname FROM pg_class WHERE relispartition")).scalars())
    return found


def test_every_table_of_the_code_is_found() -> None:
    found = set(all_tables().tables)
    for room in ROOMS:
        package = importlib.import_module(room)
        for module in pkgutil.walk_packages(package.__path__, f"{room}."):
            if not module.name.endswith(("__main__", ".env")) and ".versions." not in module.name:
                importlib.import_module(module.name)
    missed = set(metadata.tables) - found
    assert not missed, f"{missed} are not in a file called tables.py"


def test_the_migrated_schema_is_that_of_the_code(engine: Engine) -> None:
    assert run.current(engine) is None
    run.upgrade(engine)
    assert run.is_current(engine)
    assert run.differences(engine) == []
    assert tables(engine) == {*all_tables().tables, "alembic_version"}


def test_a_difference_is_noticed(engine: Engine) -> None:
    run.upgrade(engine)
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE projection_positions DROP COLUMN updated_at"))
    assert "updated_at" in str(run.differences(engine))


def test_the_tables_of_the_record_are_left_alone(engine: Engine, empty_url: str, registry: Registry) -> None:
    with open_record(empty_url, registry):
        run.upgrade(engine)
        assert run.differences(engine) == []
        run.downgrade(engine, "base")
        assert tables(engine) & {"stored_events", "tocsin_events"}, "its name on SQLite and on PostgreSQL"


def test_up_down_and_up_again(engine: Engine) -> None:
    run.upgrade(engine)
    run.downgrade(engine, "base")
    assert run.current(engine) is None
    assert tables(engine) == {"alembic_version"}
    run.upgrade(engine)
    assert run.differences(engine) == []
    run.upgrade(engine)
    assert run.is_current(engine)


def test_programs_that_start_at_once_migrate_once(engine: Engine, empty_url: str) -> None:
    engines = [open_engine(empty_url) for _ in range(3)]
    for mine in engines:
        run.current(mine)  # connected: what races below is the migration
    start = threading.Barrier(len(engines))

    def migrate(mine: Engine) -> None:
        start.wait()
        run.upgrade(mine)
        mine.dispose()

    with ThreadPoolExecutor(len(engines)) as pool:
        for future in [pool.submit(migrate, mine) for mine in engines]:
            future.result()
    assert run.differences(engine) == []


def brought_on(engine: Engine, *, oldest_program: str) -> None:
    """A newer program has been here."""
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(schema_support.update().values(oldest_program=oldest_program))


def test_a_newer_database_that_does_not_serve_us_is_refused_in_words(engine: Engine) -> None:
    run.upgrade(engine)
    brought_on(engine, oldest_program="9998")
    assert run.standing(engine) is run.Standing.TOO_NEW
    with pytest.raises(run.UnknownSchema, match="newer"):
        run.upgrade(engine)
    with pytest.raises(run.UnknownSchema, match="9999"):
        schema_is_there(engine)


def test_a_newer_database_that_serves_us_still_is_worked_on_and_left_as_it_is(engine: Engine) -> None:
    run.upgrade(engine)
    brought_on(engine, oldest_program=head() or "")
    assert run.standing(engine) is run.Standing.NEWER
    run.upgrade(engine)
    schema_is_there(engine)
    assert run.current(engine) == "9999"


def test_an_older_database_is_waited_for_by_who_does_not_bring_the_schema(engine: Engine) -> None:
    run.upgrade(engine, "0013")
    run.downgrade(engine, "0012")
    with pytest.raises(NotYet, match="tocsin migrate"):
        schema_is_there(engine)
    run.upgrade(engine)
    schema_is_there(engine)


def test_it_works_from_any_folder(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run.upgrade(engine)
    assert run.is_current(engine)


def test_migrations_name_no_type_of_the_code() -> None:
    versions = Path(run.__file__).parent / "versions"
    files = sorted(versions.glob("0*.py"))
    assert files
    for file in files:
        assert "incidents" not in "".join(
            line for line in file.read_text("utf-8").splitlines() if line.startswith(("import", "from"))
        )


def test_a_draft_would_be_empty_when_nothing_changed(engine: Engine) -> None:
    run.upgrade(engine)
    extra = Table("drafted_later", metadata, Column("id", Integer, primary_key=True))
    try:
        assert "drafted_later" in str(run.differences(engine))
    finally:
        metadata.remove(extra)
    assert run.differences(engine) == []
