"""Our recorder on PostgreSQL means by a save what the library means, by either way, whatever is killed in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking
from psycopg.copy import Copy

from incidents.record import Record, Registry, open_record, postgres_recorder
from incidents.record.postgres import Factory
from incidents.record.postgres_recorder import COPY_FROM, EventRecorder
from tests.servers import fresh_database, own_postgres

pytestmark = pytest.mark.slow

FEW, MANY = 3, COPY_FROM + 7


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with fresh_database("postgresql", tmp_path) as address:
        yield address


@pytest.fixture
def record(url: str, registry: Registry) -> Iterator[Record]:
    with open_record(url, registry) as opened:
        yield opened


def recorder_of(record: Record) -> EventRecorder:
    assert isinstance(record.recorder, EventRecorder)
    return record.recorder


def stream(count: int, *, first: int = 1, of: UUID | None = None) -> list[StoredEvent]:
    name = of or uuid4()
    return [StoredEvent(name, first + n, "test.happened/1", b'{"n":%d}' % n) for n in range(count)]


def saved(record: Record) -> list[tuple[int, UUID, int]]:
    found = record.recorder.select_notifications(None, 1_000_000)
    return [(one.id, cast(UUID, one.originator_id), one.originator_version) for one in found]


@contextmanager
def sql(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("count", [1, FEW, MANY])
def test_positions_come_back_in_the_order_of_the_events(record: Record, count: int) -> None:
    before, after = stream(FEW), stream(count)
    recorder_of(record).insert_events(before)

    positions = recorder_of(record).insert_events(after)

    assert positions is not None
    assert list(positions) == sorted(set(positions))
    assert saved(record)[FEW:] == [
        (position, event.originator_id, event.originator_version)
        for position, event in zip(positions, after, strict=True)
    ]
    states = [one.state for one in recorder_of(record).select_events(after[0].originator_id)]
    assert states == [event.state for event in after]


@pytest.mark.parametrize("count", [FEW, MANY])
def test_a_version_taken_in_the_middle_saves_nothing(record: Record, count: int) -> None:
    taken = stream(FEW)
    recorder_of(record).insert_events(taken)
    others = stream(count)
    others.insert(count // 2, taken[1])

    with pytest.raises(IntegrityError):
        recorder_of(record).insert_events(others, tracking=Tracking("a-follower", 5))

    assert len(saved(record)) == FEW
    assert record.position_of("a-follower") == 0
    assert recorder_of(record).insert_events(stream(count)), "the connection is good for the next"


@pytest.mark.parametrize("count", [0, FEW, MANY])
def test_a_followers_position_is_saved_with_the_events_or_not_at_all(record: Record, count: int) -> None:
    recorder_of(record).insert_events(stream(count), tracking=Tracking("a-follower", 5))
    assert record.position_of("a-follower") == 5

    for overtaken in (4, 5):
        with pytest.raises(IntegrityError):
            recorder_of(record).insert_events(stream(count), tracking=Tracking("a-follower", overtaken))

    assert record.position_of("a-follower") == 5
    assert len(saved(record)) == count


@pytest.mark.parametrize("count", [FEW, MANY])
def test_who_listens_is_notified(record: Record, url: str, count: int) -> None:
    with sql(url) as listener:
        listener.execute("LISTEN tocsin_events")
        recorder_of(record).insert_events(stream(count))
        assert [one.channel for one in listener.notifies(timeout=20, stop_after=1)] == ["tocsin_events"]
    with recorder_of(record).subscribe(gt=0) as subscription:
        assert [next(subscription).id for _ in range(count)] == [position for position, _, _ in saved(record)]


def test_large_states_go_by_copy_though_few(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Any] = []
    write = Copy.write_row

    def spy(self: Any, row: Sequence[Any]) -> None:
        rows.append(row)
        write(self, row)

    monkeypatch.setattr(Copy, "write_row", spy)
    monkeypatch.setattr(postgres_recorder, "COPY_FROM_BYTES", 1000)
    large = [StoredEvent(uuid4(), 1, "test.happened/1", b'{"n":"%s"}' % (b"x" * 400)) for _ in range(FEW)]

    recorder_of(record).insert_events(stream(FEW))
    assert not rows
    recorder_of(record).insert_events(large)

    assert len(rows) == FEW
    assert len(saved(record)) == 2 * FEW


def test_a_follower_passes_over_nothing_while_commits_take_their_time(
    record: Record, url: str, registry: Registry
) -> None:
    """Every stream's first event delays its commit by up to 20 ms, after the positions were given out."""
    with sql(url) as connection:
        connection.execute(
            """
            CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(random() * 0.02); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER take_time AFTER INSERT ON tocsin_events DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.originator_version = 1) EXECUTE FUNCTION take_time();
            """
        )
    done = threading.Event()
    seen: list[int] = []

    def follow() -> None:
        while True:
            last_round = done.is_set()
            while page := record.recorder.select_notifications(
                seen[-1] if seen else None, 500, inclusive_of_start=False
            ):
                seen.extend(one.id for one in page)
            if last_round:
                return

    def write(number: int) -> list[int]:
        with open_record(url, registry) as mine:
            return [
                position
                for turn in range(12)
                for position in recorder_of(mine).insert_events(stream(MANY if (turn + number) % 6 == 0 else FEW)) or ()
            ]

    follower = threading.Thread(target=follow)
    follower.start()
    with ThreadPoolExecutor(6) as writers:
        written = [position for positions in writers.map(write, range(6)) for position in positions]
    done.set()
    follower.join()

    assert seen == sorted(written)


STUCK = """
import sys
from psycopg.copy import Copy
from incidents.record import Registry, open_record
from tests.incidents.record.test_postgres_recorder import MANY, recorder_of, stream
rows, write = 0, Copy.write_row
def stand_still(self, row):
    global rows
    rows += 1
    if rows == 600:
        print("midway", flush=True)
        sys.stdin.read()
    write(self, row)
Copy.write_row = stand_still
with open_record(sys.argv[1], Registry()) as record:
    recorder_of(record).insert_events(stream(MANY))
print("saved", flush=True)
"""


@contextmanager
def writer_midway_in_a_copy(url: str) -> Iterator[subprocess.Popen[str]]:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", STUCK, url]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "midway\n"
            yield writer
        finally:
            writer.kill()


def test_a_writer_killed_midway_leaves_nothing_behind(record: Record, url: str) -> None:
    with writer_midway_in_a_copy(url) as writer:
        writer.send_signal(signal.SIGKILL)
        writer.wait()

        positions = recorder_of(record).insert_events(stream(FEW))

    assert [position for position, _, _ in saved(record)] == positions


def test_a_writer_that_stands_still_midway_does_not_hold_up_the_others_for_ever(
    registry: Registry, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("incidents.record.postgres.LOCK_SECONDS", 1)
    monkeypatch.setattr(postgres_recorder, "STANDSTILL_SECONDS", 1)
    with open_record(url, registry) as record, writer_midway_in_a_copy(url) as writer:
        writer.send_signal(signal.SIGSTOP)

        positions = recorder_of(record).insert_events(stream(FEW))

        assert [position for position, _, _ in saved(record)] == positions
        writer.send_signal(signal.SIGCONT)
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.close()
        assert writer.stdout.readline() == "saved\n", "it goes on, on a new connection, and saves from the start"
        versions = [version for _, _, version in saved(record)]
        assert versions == [*range(1, FEW + 1), *range(1, MANY + 1)]


def test_a_server_process_killed_midway_is_healed_by_saving_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL to the process that serves the COPY: the server ends every connection, recovers, and goes on."""
    server = own_postgres()
    server.start()
    try:
        with open_record(server.url, registry) as record:
            before = recorder_of(record).insert_events(stream(FEW))
            killed: list[int] = []
            rows, write = 0, Copy.write_row

            def kill_it(self: Any, row: Sequence[Any]) -> None:
                nonlocal rows
                rows += 1
                if rows == 600:
                    killed.append(self.connection.info.backend_pid)
                    os.kill(killed[0], signal.SIGKILL)
                write(self, row)

            monkeypatch.setattr(Copy, "write_row", kill_it)

            positions = recorder_of(record).insert_events(stream(MANY), tracking=Tracking("a-follower", 1))

            assert len(killed) == 1
            assert [position for position, _, _ in saved(record)] == [*(before or ()), *(positions or ())]
            assert record.position_of("a-follower") == 1
    finally:
        server.remove()


def test_a_save_takes_one_round_trip(record: Record, url: str, tmp_path: Path) -> None:
    """Counted by libpq's own trace, so that nobody makes it two unawares."""
    recorder = recorder_of(record)
    factory = cast(Factory, record.factory)
    for _ in range(20):
        recorder.insert_events(stream(1))  # every connection of the pool knows the statement
    trace = tmp_path / "trace"
    with factory.datastore.get_connection() as connection, trace.open("w") as file:
        connection.pgconn.trace(file.fileno())
        recorder._save_by_function(connection, stream(FEW), Tracking("a-follower", 1))
        connection.pgconn.untrace()
    ready = [line for line in trace.read_text().splitlines() if "ReadyForQuery" in line]
    assert len(ready) <= 2, "one to prepare where the connection is new, one for the save itself"
