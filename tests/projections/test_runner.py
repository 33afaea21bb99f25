"""The runner: nothing skipped, nothing folded twice, one fault stops nobody else."""

from __future__ import annotations

import threading
from typing import ClassVar
from uuid import uuid4

import pytest

from incidents.errors import InvalidInput
from incidents.incident import events as incident
from incidents.record import Aggregate, Context, Record
from incidents.record.database import writing
from projections.catalogue import all_projections
from projections.generations import Generations
from projections.positions import advance
from projections.runner import ProjectionFailed, Runner
from projections.severity_board.board import board
from tests.projections.conftest import Installation
from tests.projections.notes import Notes, counts, positions_seen, runner_of, write_notes
from tests.projections.stories import Teller, whole_story
from tests.world import PATIENCE


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
            assert runner.wait_for(position, timeout=PATIENCE)
    finally:
        stop.set()
        runner.wake()
        thread.join(timeout=PATIENCE)
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
        assert runner.wait_for(position, timeout=PATIENCE)
        while runner.failures:
            stop.wait(0.01)
    finally:
        stop.set()
        runner.wake()
        thread.join(timeout=PATIENCE)


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
