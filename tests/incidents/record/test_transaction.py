"""Events and rows saved in one transaction: both or neither, and on the terms of every other save."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event, text

from incidents.alerts.alert import Alert
from incidents.clock import ManualClock
from incidents.errors import Conflict
from incidents.incident.incident import Incident
from incidents.record import Context, Record, Registry, open_record
from incidents.record.database import open_engine
from incidents.record.transaction import transaction
from tests.servers import BACKENDS, fresh_database

CLOCK = ManualClock(datetime(2026, 11, 20, 1, 0, tzinfo=UTC))


@pytest.fixture(params=BACKENDS)
def both(request: pytest.FixtureRequest, tmp_path: Path, registry: Registry) -> Iterator[tuple[Record, Engine]]:
    """A record, and an engine on the same database with a table of rows."""
    with fresh_database(request.param, tmp_path) as url, open_record(url, registry) as record:
        engine = open_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE notes (note TEXT PRIMARY KEY)"))
        yield record, engine
        engine.dispose()


def context() -> Context:
    return Context.of_command("user:lan", CLOCK)


def incident(incident_id: UUID | None = None) -> Incident:
    return Incident.report(incident_id or uuid4(), context(), title="t")


def notes(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT note FROM notes ORDER BY note")).scalars())


def note(work: object, what: str) -> None:
    work.connection.execute(text("INSERT INTO notes VALUES (:note)"), {"note": what})  # type: ignore[attr-defined]


def test_events_of_many_streams_and_rows_are_saved_together(both: tuple[Record, Engine]) -> None:
    record, engine = both
    woken: list[int] = []
    first, second = incident(), incident()
    with record.waking(lambda: woken.append(record.head())), transaction(record, engine) as work:
        work.record(first, None, second)
        note(work, "kept")
        assert not woken

    assert notes(engine) == ["kept"]
    assert [one.event.originator_id for one in record.read(0, 10)] == [first.id, second.id]
    assert woken == [record.head()]
    assert record.load(Incident, first.id).title == "t"


def test_a_failure_in_the_block_saves_neither(both: tuple[Record, Engine]) -> None:
    record, engine = both
    afterwards: list[str] = []
    with pytest.raises(ZeroDivisionError), transaction(record, engine) as work:  # noqa: PT012
        work.record(incident())
        work.afterwards(lambda: afterwards.append("done"))
        note(work, "gone")
        raise ZeroDivisionError

    assert notes(engine) == []
    assert record.read(0, 10) == []
    assert afterwards == []


def test_a_version_that_is_taken_is_a_conflict_and_saves_neither(both: tuple[Record, Engine]) -> None:
    record, engine = both
    reported = incident()
    record.commit(reported)
    with pytest.raises(Conflict), transaction(record, engine) as work:  # noqa: PT012
        note(work, "gone")
        work.record(incident(), incident(reported.id))

    assert notes(engine) == []
    assert len(record.read(0, 10)) == 1


def test_without_events_the_rows_are_saved_and_nobody_is_woken(both: tuple[Record, Engine]) -> None:
    record, engine = both
    woken: list[int] = []
    with record.waking(lambda: woken.append(1)), transaction(record, engine) as work:
        note(work, "kept")

    assert notes(engine) == ["kept"]
    assert woken == []


def test_many_are_found_at_once(both: tuple[Record, Engine]) -> None:
    record, engine = both
    saved = [incident() for _ in range(1_100)]
    record.commit(*saved)
    saved[0].triage(context())
    record.commit(saved[0])
    with transaction(record, engine) as work:
        found = work.find_many(Incident, {one.id for one in saved} | {uuid4()})
        others = work.find_many(Alert, [saved[0].id])

    assert set(found) == {one.id for one in saved}
    assert found[saved[0].id].version == 2
    assert others == {}


def test_of_what_is_known_only_the_news_is_read(both: tuple[Record, Engine]) -> None:
    record, engine = both
    saved = incident()
    record.commit(saved)
    known = record.load(Incident, saved.id)
    saved.triage(context())
    record.commit(saved)
    with transaction(record, engine) as work:
        found = work.find_many(Incident, [saved.id], known={saved.id: known})

    assert found[saved.id] is known
    assert (known.version, known.phase) == (2, record.load(Incident, saved.id).phase)


def test_of_many_that_are_known_and_some_that_are_not_nothing_is_missed_or_read_twice(
    both: tuple[Record, Engine],
) -> None:
    record, engine = both
    saved = [incident() for _ in range(1_200)]
    record.commit(*saved)
    known = {one.id: record.load(Incident, one.id) for one in saved[:1_100]}
    changed = {one.id for one in saved[::7]}
    for one in saved[::7]:
        one.triage(context())
    record.commit(*saved[::7])
    with transaction(record, engine) as work:
        found = work.find_many(Incident, {one.id for one in saved}, known=known)

    assert {one.id: one.version for one in found.values()} == {one.id: 2 if one.id in changed else 1 for one in saved}
    assert all(found[each] is one for each, one in known.items())


def test_what_is_remembered_and_was_lost_is_rebuilt_from_what_there_is(both: tuple[Record, Engine]) -> None:
    """A copy that the database fails over to may lack the last commits, while those who made them live on."""
    record, engine = both
    kept, shorter, gone = incident(), incident(), incident()
    for one in (kept, shorter, gone):
        one.triage(context())
    record.commit(kept, shorter, gone)
    known = {one.id: record.load(Incident, one.id) for one in (kept, shorter, gone)}
    with engine.begin() as connection:
        table = record.recorder.events_table_name  # type: ignore[attr-defined]
        for one, least in ((shorter, 2), (gone, 1)):
            stream = one.id if engine.dialect.name == "postgresql" else one.id.hex
            connection.execute(
                text(f"DELETE FROM {table} WHERE originator_id = :stream AND originator_version >= :least"),
                {"stream": stream, "least": least},
            )
    with transaction(record, engine) as work:
        found = work.find_many(Incident, list(known), known=known)

    assert {one.id: one.version for one in found.values()} == {kept.id: 2, shorter.id: 1}
    assert found[kept.id] is known[kept.id]


def test_statistics_do_not_make_what_is_known_slow_to_find(tmp_path: Path, registry: Registry) -> None:
    """With them SQLite's planner prefers to make an index of the whole record for one statement."""
    with fresh_database("sqlite", tmp_path) as url, open_record(url, registry) as record:
        engine = open_engine(url)
        saved = [incident() for _ in range(600)]
        record.commit(*saved)
        with engine.begin() as connection:
            connection.execute(text("ANALYZE"))
            # What they would be of two hundred thousand events.
            connection.execute(text("UPDATE sqlite_stat1 SET stat = '200000 100 1' WHERE idx LIKE 'sqlite_autoindex%'"))
            connection.execute(text("ANALYZE sqlite_schema"))
        engine.dispose()
        known = {one.id: record.load(Incident, one.id) for one in saved}
        asked: list[tuple[str, Any]] = []
        with transaction(record, engine) as work:
            event.listen(engine, "before_cursor_execute", lambda *said: asked.append((said[2], said[3])))
            found = work.find_many(Incident, list(known), known=known)
            plans = [
                step[-1]
                for statement, values in list(asked)
                for step in work.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            ]
        engine.dispose()

    assert len(found) == 600
    assert not [step for step in plans if "AUTOMATIC" in step or step.startswith("SCAN stored")], plans
