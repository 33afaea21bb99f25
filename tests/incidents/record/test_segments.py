"""Events divided into segments: the same record, with old events where the operator wants them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from incidents.clock import ManualClock
from incidents.errors import Conflict, EventsDetached, InvalidInput
from incidents.incident.incident import Incident
from incidents.record import Context, Record, Registry, open_record
from incidents.record.database import open_engine, writing
from incidents.record.segments import Segments
from tests.incidents.record.test_postgres_recorder import MANY, recorder_of, saved, stream
from tests.servers import fresh_database, own_postgres

pytestmark = pytest.mark.slow

SIZE = 2_000


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with fresh_database("postgresql", tmp_path) as address:
        yield address


@pytest.fixture
def record(url: str, registry: Registry) -> Iterator[Record]:
    with open_record(url, registry) as opened:
        yield opened


@pytest.fixture
def engine(url: str, record: Record) -> Iterator[Engine]:
    opened = open_engine(url)
    yield opened
    opened.dispose()


@pytest.fixture
def segments(engine: Engine) -> Segments:
    return Segments(engine)


def fill(record: Record, count: int) -> None:
    for _ in range(count // MANY + 1):
        recorder_of(record).insert_events(stream(MANY))


def attached(segments: Segments) -> list[tuple[str, int, int]]:
    return [(s.name, s.first, s.end) for s in segments.list() if s.attached]


def test_divided_it_is_the_same_record(record: Record, segments: Segments, clock: ManualClock) -> None:
    incident = Incident.report(uuid4(), Context.of_command("user:lan", clock), title="Lost laptop")
    record.commit(incident)
    fill(record, SIZE)
    before = saved(record)

    segments.divide(SIZE)

    assert saved(record) == before
    incident.add_note(Context.of_command("user:lan", clock), "Found again.")
    record.commit(incident)
    fill(record, 3 * SIZE)
    assert record.load(Incident, incident.id).version == 2
    positions = [position for position, _, _ in saved(record)]
    assert positions == sorted(set(positions))
    assert positions[: len(before)] == [position for position, _, _ in before]
    found = attached(segments)
    assert len(found) >= 4, "room is made as events come"
    assert [end for _, _, end in found[:-1]] == [first for _, first, _ in found[1:]]
    segments.divide(SIZE)
    assert attached(segments) == found, "dividing again does nothing"


@pytest.mark.parametrize("count", [1, MANY])
def test_a_version_is_taken_once_over_all_segments(
    record: Record, segments: Segments, registry: Registry, url: str, count: int
) -> None:
    old = stream(4)
    recorder_of(record).insert_events(old)
    fill(record, SIZE)
    segments.divide(SIZE)
    fill(record, 2 * SIZE)
    name = old[0].originator_id
    before = saved(record)
    with open_record(url, registry) as other:
        for taken in (4, 3):
            with pytest.raises(IntegrityError):
                recorder_of(other).insert_events(stream(count, first=taken, of=name))
        with pytest.raises(IntegrityError):
            recorder_of(other).insert_events(stream(count, first=6, of=name))
        with pytest.raises(IntegrityError):
            recorder_of(other).insert_events([*stream(count), *stream(count, first=2)])
        assert saved(record) == before
        assert recorder_of(other).insert_events(stream(count, first=5, of=name))
    with pytest.raises(IntegrityError):
        recorder_of(record).insert_events(stream(count, first=5, of=name))


def test_it_is_divided_while_others_write(record: Record, segments: Segments, registry: Registry, url: str) -> None:
    """Writers that have been opened before go on, and nothing of theirs is lost or doubled."""
    stop = threading.Event()

    def write(number: int) -> list[int]:
        written: list[int] = []
        with open_record(url, registry) as mine:
            name, version = uuid4(), 1
            while not stop.is_set() or version < 40:
                written += recorder_of(mine).insert_events(stream(3, first=version, of=name)) or ()
                version += 3
        return written

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, number) for number in range(3)]
        try:
            segments.divide(SIZE)
        finally:
            stop.set()
        written = sorted(position for writer in writers for position in writer.result())
    assert [position for position, _, _ in saved(record)] == written
    assert segments.is_divided()


def test_a_segment_goes_to_other_storage(registry: Registry, tmp_path: Path) -> None:
    server = own_postgres()
    server.start()
    try:
        elsewhere = server.folder("elsewhere")
        with open_record(server.url, registry) as record:
            fill(record, SIZE)
            engine = open_engine(server.url)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text(f"CREATE TABLESPACE cheaper LOCATION '{elsewhere}'"))
            segments = Segments(engine)
            segments.divide(SIZE)
            fill(record, 2 * SIZE)
            before = saved(record)

            segments.move("tocsin_events_1", "cheaper")

            assert segments.list()[0].tablespace == "cheaper"
            assert saved(record) == before
            with engine.connect() as connection:
                indexes = (
                    "SELECT count(*) FROM pg_indexes WHERE tablename = 'tocsin_events_1' AND tablespace = 'cheaper'"
                )
                assert connection.execute(text(indexes)).scalar_one() == 2
            engine.dispose()
    finally:
        server.remove()


def test_taken_off_and_put_back(
    record: Record, segments: Segments, engine: Engine, clock: ManualClock, url: str, registry: Registry
) -> None:
    incident = Incident.report(uuid4(), Context.of_command("user:lan", clock), title="Lost laptop")
    record.commit(incident)
    fill(record, SIZE)
    segments.divide(SIZE)
    fill(record, 2 * SIZE)
    first, second = segments.list()[:2]
    everything = saved(record)
    incident.add_note(Context.of_command("user:lan", clock), "Found again.")
    record.commit(incident)

    with pytest.raises(Conflict, match="automation"):
        segments.detach(first.name, readers={"automation": first.end - 2, "relay": first.end})
    segments.detach(first.name, readers={"automation": first.end - 1})

    assert not segments.list()[0].attached
    with pytest.raises(EventsDetached, match=first.name):
        record.read(0, 10)
    with pytest.raises(EventsDetached, match="version 2"):
        record.load(Incident, incident.id)
    assert [p for p, _, _ in saved_after(record, first.end - 1)][:5] == [p for p, _, _ in everything if p >= first.end][
        :5
    ]
    with pytest.raises(IntegrityError):
        recorder_of(record).insert_events(stream(1, of=incident.id))
    incident.add_note(Context.of_command("user:lan", clock), "Given back.")
    record.commit(incident)

    segments.attach(first.name)

    assert [s.attached for s in segments.list()[:2]] == [True, True]
    assert saved(record)[: len(everything)] == everything
    assert record.load(Incident, incident.id).version == 3
    for change in ("UPDATE {} SET topic = 'x'", "DELETE FROM {}"):
        with pytest.raises(DBAPIError, match="never changed"), writing(engine) as connection:
            connection.execute(text(change.format(first.name)))
    assert second.attached


def saved_after(record: Record, position: int) -> list[tuple[int, object, int]]:
    found = record.recorder.select_notifications(position, 10_000, inclusive_of_start=False)
    return [(one.id, one.originator_id, one.originator_version) for one in found]


def test_what_cannot_be_done_says_why(record: Record, segments: Segments, tmp_path: Path) -> None:
    fill(record, SIZE)
    segments.divide(SIZE)
    last_written = next(s for s in segments.list() if s.first <= record.head() < s.end)

    with pytest.raises(Conflict, match="still written to"):
        segments.detach(last_written.name, readers={})
    with pytest.raises(InvalidInput, match="no segment"):
        segments.move("tocsin_events_99", "pg_default")
    with pytest.raises(InvalidInput, match="was not taken off"):
        segments.attach("tocsin_events_1")
    with fresh_database("sqlite", tmp_path) as url, pytest.raises(InvalidInput, match="PostgreSQL"):
        Segments(open_engine(url))


def test_an_interrupted_division_is_gone_on_with(
    record: Record, segments: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(record, SIZE)
    before = saved(record)

    def end_here(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("incidents.record.segments._turn_over", end_here)
        with pytest.raises(KeyboardInterrupt):
            segments.divide(SIZE)
    assert not segments.is_divided()
    fill(record, 100)

    segments.divide(SIZE)

    assert segments.is_divided()
    assert saved(record)[: len(before)] == before
    fill(record, 2 * SIZE)
