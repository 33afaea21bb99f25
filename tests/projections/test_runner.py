"""The runner: nothing skipped, nothing folded twice, old or new rows but never a mixture."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, MetaData, String, Table, delete, insert, select

from incidents.clock import ManualClock
from incidents.errors import InvalidInput
from incidents.incident import events as incident
from incidents.record import Aggregate, Context, Record, Recorded, open_record
from incidents.record.database import reading, writing
from projections.catalogue import all_projections
from projections.coverage.tables import coverage_cells
from projections.generations import Generations
from projections.positions import BUILDING, LIVE, RETIRED, advance, live_generation
from projections.projection import Projection
from projections.rows import Rows, append, generation_column
from projections.runner import ProjectionFailed, RecordBehind, Runner
from projections.severity_board.board import board
from projections.tables import projection_positions
from tests.projections.conftest import Installation
from tests.projections.stories import Teller, many_stories, whole_story

_own = MetaData()
seen_positions = Table(
    "test_seen_positions", _own, generation_column(), Column("position", BigInteger, primary_key=True)
)
note_counts = Table(
    "test_note_counts",
    _own,
    generation_column(),
    Column("name", String(16), primary_key=True),
    Column("notes", Integer, nullable=False, default=0),
)


class Notes(Projection):
    """Counts notes and keeps their positions: an event folded twice or skipped shows."""

    name = "test_notes"
    version = 1
    events = (incident.NoteAdded,)
    tables: ClassVar = (seen_positions, note_counts)

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.refuse: str | None = None

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        self.batches.append(len(batch))
        rows = Rows(connection, note_counts, generation)
        rows.load({("all",)})
        before = rows.get("all")
        rows.put("all", notes=(before["notes"] if before else 0) + len(batch))
        rows.flush()
        append(connection, seen_positions, generation, [{"position": r.position} for r in batch])
        if any(getattr(r.event, "text", None) == self.refuse for r in batch):
            raise RuntimeError("a fold with a fault")


class NotesVersionTwo(Notes):
    version = 2

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        rows = Rows(connection, note_counts, generation)
        rows.load({("v2",)})
        before = rows.get("v2")
        rows.put("v2", notes=(before["notes"] if before else 0) + len(batch))
        rows.flush()


def counts(engine: Engine) -> dict[str, int]:
    """What a reader sees."""
    c = note_counts.c
    with reading(engine) as connection:
        rows = connection.execute(select(c.name, c.notes).where(c.generation == live_generation(Notes.name)))
        return {row.name: row.notes for row in rows}


def positions_seen(engine: Engine) -> list[int]:
    c = seen_positions.c
    with reading(engine) as connection:
        live = select(c.position).where(c.generation == live_generation(Notes.name)).order_by(c.position)
        return list(connection.execute(live).scalars())


def write_notes(record: Record, clock: ManualClock, texts: Sequence[str]) -> list[int]:
    stream = Aggregate(uuid4())
    for text in texts:
        stream.emit(incident.NoteAdded, Context.of_command("user:lan", clock), text=text)
    return record.commit(stream)


def rows_of(engine: Engine, projections: Sequence[Projection]) -> dict[str, list[tuple[Any, ...]]]:
    """All live rows, without their generation."""
    found = {}
    with reading(engine) as connection:
        for projection in projections:
            for table in projection.tables:
                columns = [c for c in table.columns if c.name != "generation"]
                live = select(*columns).where(table.c.generation == live_generation(projection.name))
                if table is coverage_cells:  # an emptied cell says the same as one that never was
                    live = live.where(table.c.recipients > 0)
                rows = connection.execute(live).all()
                found[table.name] = sorted((tuple(row) for row in rows), key=repr)
    return found


@pytest.fixture
def notes(installation: Installation) -> Notes:
    _own.create_all(installation.engine)
    return Notes()


def runner_of(installation: Installation, *projections: Projection, **settings: Any) -> Runner:
    return Runner(installation.record, installation.engine, projections, installation.clock, **settings)


def test_rebuild_gives_what_live_folding_gave(installation: Installation) -> None:
    live = runner_of(installation, *all_projections(), batch=7)
    for _ in many_stories(Teller(installation.record, installation.clock), 4):
        live.run_once()
    live.drain()
    before = rows_of(installation.engine, all_projections())
    assert all(before.values()), "a table that no event of the stories fills is not tested"

    runner_of(installation, *all_projections(), batch=1000).rebuild()

    assert rows_of(installation.engine, all_projections()) == before
    assert {lag.behind for lag in live.lag()} == {0}


def test_a_rebuilt_generation_leaves_no_old_rows(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, ["a", "b"])
    runner = runner_of(installation, notes)
    runner.drain()
    runner.rebuild(notes.name)
    with reading(installation.engine) as connection:
        assert len(connection.execute(select(note_counts.c.generation)).all()) == 1
    assert counts(installation.engine) == {"all": 2}


def test_readers_see_the_old_rows_whole_until_the_new_ones_are_there(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, [str(n) for n in range(25)])
    runner = runner_of(installation, notes, batch=3)
    runner.drain()
    during: list[dict[str, int]] = []
    runner.rebuild(notes.name, progress=lambda _name, _at, _head: during.append(counts(installation.engine)))
    assert len(during) > 5
    assert all(one == {"all": 25} for one in during)


def test_live_rows_keep_up_while_a_rebuild_goes_on(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, [str(n) for n in range(20)])
    runner = runner_of(installation, notes, batch=2)
    runner.drain()
    seen: list[int] = []

    def meanwhile(_name: str, _at: int, _head: int) -> None:
        if len(seen) < 5:
            write_notes(installation.record, installation.clock, ["more"])
            runner_of(installation, Notes(), batch=1).run_once()
            seen.append(counts(installation.engine)["all"])

    runner.rebuild(notes.name, progress=meanwhile)
    assert seen == [21, 22, 23, 24, 25]
    assert counts(installation.engine) == {"all": 25}


def test_a_new_version_is_built_beside_and_then_shown(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, [str(n) for n in range(150)])
    runner_of(installation, notes).drain()
    newer = runner_of(installation, NotesVersionTwo(), batch=100)
    newer.run_once()
    assert counts(installation.engine) == {"all": 150}, "half-built rows are not shown"
    newer.drain()
    assert counts(installation.engine) == {"v2": 150}


def test_an_older_program_leaves_newer_rows_alone(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, ["a"])
    runner_of(installation, NotesVersionTwo()).drain()
    older = runner_of(installation, notes)
    write_notes(installation.record, installation.clock, ["b"])
    assert older.run_once() == 0
    (lag,) = older.lag()
    assert lag.behind == 1
    assert lag.failure is not None
    assert "version 2" in lag.failure
    older.rebuild(notes.name)
    assert counts(installation.engine) == {"all": 2}, "on command it goes back to its own rows"


def test_a_fold_that_fails_changes_nothing_and_stops_nobody_else(installation: Installation, notes: Notes) -> None:
    notes.refuse = "poison"
    whole_story(Teller(installation.record, installation.clock))
    runner = runner_of(installation, notes, *all_projections())
    runner.drain()
    before = positions_seen(installation.engine)
    write_notes(installation.record, installation.clock, ["good", "poison"])
    with pytest.raises(ProjectionFailed, match="test_notes"):
        runner.run_once()
    assert positions_seen(installation.engine) == before
    lags = {lag.name: lag for lag in runner.lag()}
    assert lags["test_notes"].failure is not None
    assert lags["test_notes"].behind == 2
    assert lags["timeline"].behind == 0

    notes.refuse = None
    runner.drain()
    assert len(positions_seen(installation.engine)) == len(before) + 2
    assert {lag.failure for lag in runner.lag()} == {None}


def test_two_runners_at_once_fold_each_event_once(installation: Installation, notes: Notes) -> None:
    positions = write_notes(installation.record, installation.clock, [str(n) for n in range(300)])
    start = threading.Barrier(3)

    def work(record: Record) -> None:
        runner = Runner(record, installation.engine, [Notes()], installation.clock, batch=5)
        start.wait()
        runner.drain()

    threads = [threading.Thread(target=work, args=(installation.another_record(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(installation.engine) == {"all": 300}
    assert positions_seen(installation.engine) == positions


def test_the_loser_of_a_race_rolls_back(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, ["a", "b"])
    books = Generations(installation.engine, {notes.name: notes}, installation.clock)
    (at,) = books.workable()
    now = installation.clock.now()
    with writing(installation.engine) as connection:
        assert advance(connection, at, 1, now)
    with writing(installation.engine) as connection:
        assert not advance(connection, at, 2, now), "its position is no longer what was read"
    (after,) = books.workable()
    assert after.position == 1


def test_positions_only_grow(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, ["a", "b"])
    runner_of(installation, notes).drain()
    (at,) = Generations(installation.engine, {notes.name: notes}, installation.clock).workable()
    with writing(installation.engine) as connection, pytest.raises(ValueError, match="back"):
        advance(connection, at, at.position, installation.clock.now())


def test_a_record_older_than_the_rows_is_refused_until_a_rebuild(
    installation: Installation, notes: Notes, tmp_path: Any
) -> None:
    write_notes(installation.record, installation.clock, ["a", "b", "c"])
    runner_of(installation, notes).drain()
    with open_record(f"sqlite:///{tmp_path / 'restored.sqlite'}", installation.registry) as restored:
        write_notes(restored, installation.clock, ["a"])
        runner = Runner(restored, installation.engine, [notes], installation.clock)
        with pytest.raises(RecordBehind, match="ends at position 1"):
            runner.run_once()
        assert counts(installation.engine) == {"all": 3}
        runner.rebuild(notes.name)
        assert counts(installation.engine) == {"all": 1}
        assert runner.run_once() == 0


def test_an_interrupted_rebuild_is_finished_by_the_next_runner(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, [str(n) for n in range(250)])
    runner_of(installation, notes).drain()

    class Killed(BaseException):
        pass

    def die(_name: str, at: int, _head: int) -> None:
        if at >= 100:
            raise Killed

    with pytest.raises(Killed):
        runner_of(installation, notes, batch=100).rebuild(notes.name, progress=die)
    books = Generations(installation.engine, {notes.name: notes}, installation.clock)
    assert [at.state for at in books.on_record()] == [LIVE, BUILDING]
    assert counts(installation.engine) == {"all": 250}

    successor = Notes()
    runner_of(installation, successor, batch=100).drain()
    books.sweep()
    assert sum(successor.batches) == 150, "it went on from position 100"
    assert [at.state for at in books.on_record()] == [LIVE]
    assert counts(installation.engine) == {"all": 250}


def test_a_rebuild_replaces_one_that_was_given_up(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, ["a"])
    runner_of(installation, notes).drain()
    books = Generations(installation.engine, {notes.name: notes}, installation.clock)
    books.start_rebuild([notes.name])
    books.start_rebuild([notes.name])
    assert [at.state for at in books.on_record()] == [LIVE, RETIRED, BUILDING]
    runner_of(installation, notes).drain()
    books.sweep()
    assert [(at.generation, at.state) for at in books.on_record()] == [(3, LIVE)]


def test_rows_that_are_behind_the_live_ones_are_not_shown(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, ["a", "b"])
    runner_of(installation, notes).drain()
    books = Generations(installation.engine, {notes.name: notes}, installation.clock)
    books.start_rebuild([notes.name])
    assert not books.promote(notes.name, installation.record.head)
    assert counts(installation.engine) == {"all": 2}


def test_events_of_other_kinds_do_not_count_as_lag(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, ["a"])
    stream = Aggregate(uuid4())
    context = Context.of_command("user:lan", installation.clock)
    stream.emit(incident.IncidentReported, context, title="t", reported_by="person")
    installation.record.commit(stream)
    runner = runner_of(installation, notes)
    (before,) = runner.lag()
    assert (before.position, before.head, before.behind) == (0, 2, 2)
    runner.drain()
    (after,) = runner.lag()
    assert (after.position, after.behind) == (2, 0)


def test_heavy_events_make_the_next_batches_smaller(installation: Installation, notes: Notes) -> None:
    class Heavy(Notes):
        weights: ClassVar = {incident.NoteAdded.kind: lambda event: int(event.text)}

    heavy = Heavy()
    write_notes(installation.record, installation.clock, ["1000"] * 120 + ["1"] * 100)
    runner_of(installation, heavy, batch=100, max_weight=5_000).drain()
    assert heavy.batches[:4] == [100, 5, 5, 5]
    assert max(heavy.batches[5:]) > 5, "and larger again once they are light"
    assert counts(installation.engine) == {"all": 220}


def test_a_commit_of_this_process_wakes_the_follower(installation: Installation, notes: Notes) -> None:
    runner = runner_of(installation, notes)
    stop = threading.Event()
    # With a poll of ten minutes only the wake-up can be what brings the events in.
    thread = threading.Thread(target=runner.follow, args=(stop,), kwargs={"poll": 600.0})
    thread.start()
    try:
        for text in ("a", "b", "c"):
            (position,) = write_notes(installation.record, installation.clock, [text])
            assert runner.wait_for(position, timeout=30)
    finally:
        stop.set()
        runner.wake()
        thread.join(timeout=30)
    assert not thread.is_alive()
    assert counts(installation.engine) == {"all": 3}


def test_waiting_for_what_never_comes_ends(installation: Installation, notes: Notes) -> None:
    assert not runner_of(installation, notes).wait_for(1, timeout=0.01)


def test_a_follower_outlives_failures(installation: Installation, notes: Notes) -> None:
    notes.refuse = "poison"
    (position,) = write_notes(installation.record, installation.clock, ["poison"])
    runner = runner_of(installation, notes)
    stop = threading.Event()
    thread = threading.Thread(target=runner.follow, args=(stop,), kwargs={"poll": 0.01, "back_off": 0.01})
    thread.start()
    try:
        while runner.failures < 2:
            stop.wait(0.01)
        notes.refuse = None
        assert runner.wait_for(position, timeout=30)
        while runner.failures:
            stop.wait(0.01)
    finally:
        stop.set()
        runner.wake()
        thread.join(timeout=30)


def test_concurrent_writers_and_a_follower_lose_no_event(installation: Installation, notes: Notes) -> None:
    writers, each = 4, 40
    written: list[int] = []
    done = threading.Event()

    def write(record: Record) -> None:
        for number in range(each):
            written.extend(write_notes(record, installation.clock, [str(number)] * (1 + number % 3)))

    reader = installation.another_record()

    def follow() -> None:
        runner = Runner(reader, installation.engine, [notes], installation.clock, batch=10)
        while not done.is_set():
            runner.drain()
        runner.drain()

    follower = threading.Thread(target=follow)
    threads = [threading.Thread(target=write, args=(installation.another_record(),)) for _ in range(writers)]
    for thread in (follower, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    follower.join()
    assert positions_seen(installation.engine) == sorted(written)
    assert len(notes.batches) > 1, "the follower read while the writers wrote"


def test_settings_and_names_are_checked(installation: Installation, notes: Notes) -> None:
    with pytest.raises(InvalidInput, match="at least one event"):
        runner_of(installation, notes, batch=0)
    with pytest.raises(InvalidInput, match="there are: all, test_notes"):
        runner_of(installation, notes).rebuild("boards")
    with pytest.raises(ValueError, match="one name"):
        runner_of(installation, notes, Notes())


def test_a_reader_before_the_first_run_sees_nothing(installation: Installation) -> None:
    assert board(installation.engine).items == ()


def test_two_programs_that_start_at_once_open_one_generation(installation: Installation, notes: Notes) -> None:
    start = threading.Barrier(4)
    found: list[list[int]] = []

    def work() -> None:
        books = Generations(installation.engine, {notes.name: notes}, installation.clock)
        start.wait()
        found.append([at.generation for at in books.workable()])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[1]] * 4


def test_rows_of_another_generation_are_not_loaded(installation: Installation, notes: Notes) -> None:
    with writing(installation.engine) as connection:
        connection.execute(insert(note_counts).values(generation=7, name="all", notes=99))
        rows = Rows(connection, note_counts, 8)
        rows.load({("all",)})
        assert rows.get("all") is None


def test_a_runner_works_only_on_what_it_holds(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, ["a", "b"])
    runner = runner_of(installation, notes)

    assert runner.run_once(lambda _name: False) == 0
    assert counts(installation.engine) == {}
    runner.drain(holds=lambda name: name == notes.name)

    assert counts(installation.engine) == {"all": 2}


def test_a_fault_is_not_told_any_more_by_who_gave_the_projection_up(installation: Installation, notes: Notes) -> None:
    write_notes(installation.record, installation.clock, ["a"])
    runner = runner_of(installation, notes)
    notes.refuse = "a"
    with pytest.raises(ProjectionFailed):
        runner.run_once()
    assert runner.lag()[0].failure

    runner.run_once(lambda _name: False)

    assert runner.lag()[0].failure is None


def test_a_late_promotion_goes_by_the_record_of_now(installation: Installation, notes: Notes) -> None:
    """The record's end is read once nobody can move the two: what it was when this runner last looked, before it stood
    still, would let old rows take the place of new ones."""
    write_notes(installation.record, installation.clock, ["a", "b"])
    runner_of(installation, notes).drain()
    books = Generations(installation.engine, {notes.name: notes}, installation.clock)
    books.start_rebuild([notes.name])
    (building,) = [at for at in books.on_record() if at.state == BUILDING]
    with writing(installation.engine) as connection:
        assert advance(connection, building, 1, installation.clock.now())
    asked: list[int] = []

    def head() -> int:
        with reading(installation.engine) as connection:
            asked.extend(connection.execute(select(projection_positions.c.position)).scalars())
        return installation.record.head()

    assert not books.promote(notes.name, head)
    assert sorted(asked) == [1, 2], "asked within the transaction, after both positions were read"
    assert counts(installation.engine) == {"all": 2}


def test_a_late_sweeper_leaves_rows_of_a_generation_that_got_the_number_again(
    installation: Installation, notes: Notes
) -> None:
    """A sweeper that saw a retired generation, stood still, and goes on when its number belongs to a live one."""
    write_notes(installation.record, installation.clock, ["a"])
    runner_of(installation, notes).drain()
    books = Generations(installation.engine, {notes.name: notes}, installation.clock)
    books.start_rebuild([notes.name])
    books.start_rebuild([notes.name])
    (retired,) = [at for at in books.on_record() if at.state == RETIRED]
    with writing(installation.engine) as connection:  # the given-up one is gone, and so is the one after it
        for number in (retired.generation, retired.generation + 1):
            connection.execute(delete(projection_positions).where(projection_positions.c.generation == number))
    books.start_rebuild([notes.name])
    runner_of(installation, notes).drain()
    (live,) = [at for at in books.on_record() if at.state == LIVE]
    assert live.generation == retired.generation, "the number was given again"

    assert books._delete_slice(retired) is False

    assert counts(installation.engine) == {"all": 1}
