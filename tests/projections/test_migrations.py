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
from incidents.record.database import metadata, open_engine, writing
from tocsin.migrations import run
from tocsin.migrations.all_tables import ROOMS, all_tables


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    opened = open_engine(empty_url)
    yield opened
    opened.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names())


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


def test_a_newer_database_is_refused_in_words(engine: Engine) -> None:
    run.upgrade(engine)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert not run.is_current(engine)
    with pytest.raises(run.UnknownSchema, match="newer"):
        run.upgrade(engine)


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
