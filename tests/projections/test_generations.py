"""Rebuilding beside the live rows: old or new rows but never a mixture."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import delete, insert, select

from incidents.record import open_record
from incidents.record.database import reading, writing
from projections.catalogue import all_projections
from projections.generations import Generations
from projections.positions import BUILDING, LIVE, RETIRED, advance
from projections.rows import Rows
from projections.runner import RecordBehind, Runner
from projections.tables import projection_positions
from tests.projections.conftest import Installation
from tests.projections.notes import Notes, NotesVersionTwo, counts, note_counts, rows_of, runner_of, write_notes
from tests.projections.stories import Teller, many_stories


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
