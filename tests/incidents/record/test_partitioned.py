"""Divided among partitions, every event is handled, each incident's in order, through every change of the division."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from incidents.clock import ManualClock
from incidents.incident.incident import Incident
from incidents.record import Aggregate, Event, Follower, Record, Recorded
from incidents.record.database import open_engine
from incidents.record.partitioned import LOOK_SECONDS, Divisions, PartitionedFollower
from incidents.record.tables import partitionings
from tests.conftest import ContextMaker

KINDS = ["incident.reported", "incident.triaged"]


class Notes:
    """Writes down what it handled, and fails where told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[UUID, str]] = []
        self.fails_at: UUID | None = None

    def __call__(self, recorded: Recorded) -> Sequence[Aggregate]:
        if recorded.event.originator_id == self.fails_at:
            raise OSError("away")
        self.seen.append((recorded.event.originator_id, recorded.event.kind))
        return []


class Monotonic:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    partitionings.create(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def divisions(engine: Engine, record: Record, clock: ManualClock) -> Divisions:
    return Divisions(engine, record, clock)


def key_of(event: Event) -> UUID:
    return event.originator_id


def follower(
    record: Record, divisions: Divisions, notes: Notes, monotonic: Monotonic | None = None
) -> PartitionedFollower:
    return PartitionedFollower(
        record, "notes", notes, divisions, kinds=KINDS, key_of=key_of, monotonic=monotonic or Monotonic()
    )


def incidents(record: Record, analyst: ContextMaker, count: int) -> list[UUID]:
    made = []
    for _ in range(count):
        incident = Incident.report(uuid4(), analyst(), title="Something")
        incident.triage(analyst())
        record.commit(incident)
        made.append(incident.id)
    return made


def test_each_event_is_handled_once_and_each_incident_in_order(
    record: Record, divisions: Divisions, analyst: ContextMaker
) -> None:
    made, notes = incidents(record, analyst, 20), Notes()
    divisions.want("notes", 4)

    following = follower(record, divisions, notes)
    following.drain()

    assert len(notes.seen) == 40
    for incident in made:
        assert [kind for of, kind in notes.seen if of == incident] == KINDS
    assert following.is_caught_up()
    assert following.position == record.head()


def test_partitions_share_the_incidents_and_no_two_have_the_same(
    record: Record, divisions: Divisions, analyst: ContextMaker
) -> None:
    made = incidents(record, analyst, 40)
    names = divisions.want("notes", 4).names()
    shares = []
    for mine in names:
        notes = Notes()
        one = follower(record, divisions, notes)
        one.holds = lambda name, mine=mine: name == mine  # type: ignore[misc]
        one.drain()
        shares.append({of for of, _ in notes.seen})

    assert all(shares), "forty incidents leave no partition empty"
    assert sorted(of for share in shares for of in share) == sorted(made)


def test_an_old_installation_goes_on_where_it_stopped(
    record: Record, divisions: Divisions, analyst: ContextMaker
) -> None:
    """From one follower to partitions: nothing is left out, and what was done is not done again from the beginning."""
    incidents(record, analyst, 5)
    before, after = Notes(), Notes()
    Follower(record, "notes", before, kinds=KINDS).drain()
    new = incidents(record, analyst, 5)

    divisions.want("notes", 3)
    follower(record, divisions, after).drain()

    assert {of for of, _ in after.seen} == set(new)


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 2), (2, 5), (3, 1)])
def test_a_change_begins_where_the_last_partition_stands(
    record: Record, divisions: Divisions, analyst: ContextMaker, before: int, after: int
) -> None:
    first, names = incidents(record, analyst, 12), divisions.want("notes", before).names()
    old, new = Notes(), Notes()
    ahead = follower(record, divisions, old)
    ahead.holds = lambda name: name != names[-1]  # the last partition has not even begun
    ahead.drain()

    divisions.want("notes", after)
    follower(record, divisions, new).drain()

    assert {of for of, _ in old.seen} | {of for of, _ in new.seen} == set(first)
    missed = {of for of in first if of not in {seen for seen, _ in old.seen}}
    assert missed <= {of for of, _ in new.seen}
    for incident in missed:
        assert [kind for of, kind in new.seen if of == incident] == KINDS


def test_there_and_back_does_not_start_from_the_first_division(
    record: Record, divisions: Divisions, analyst: ContextMaker
) -> None:
    incidents(record, analyst, 4)
    for partitions in (2, 4, 2):
        divisions.want("notes", partitions)
        follower(record, divisions, Notes()).drain()
    notes, new = Notes(), incidents(record, analyst, 2)

    follower(record, divisions, notes).drain()

    assert {of for of, _ in notes.seen} == set(new)


def test_a_process_that_runs_goes_over_to_a_new_division(
    record: Record, divisions: Divisions, analyst: ContextMaker
) -> None:
    notes, monotonic = Notes(), Monotonic()
    running = follower(record, divisions, notes, monotonic)
    running.drain()
    divisions.want("notes", 3)
    assert running.names() == ["notes"]

    monotonic.seconds += LOOK_SECONDS
    made = incidents(record, analyst, 6)
    running.drain()

    assert len(running.names()) == 3
    assert {of for of, _ in notes.seen} == set(made)


def test_two_that_want_at_once_agree(record: Record, engine: Engine, clock: ManualClock) -> None:
    with ThreadPoolExecutor(4) as pool:
        wanted = list(pool.map(lambda _: Divisions(engine, record, clock).want("notes", 4), range(4)))

    assert {division.epoch for division in wanted} == {1}


def test_a_partition_that_fails_holds_up_no_other(record: Record, divisions: Divisions, analyst: ContextMaker) -> None:
    made, notes = incidents(record, analyst, 20), Notes()
    divisions.want("notes", 4)
    notes.fails_at = made[0]

    with pytest.raises(OSError, match="away"):
        follower(record, divisions, notes).run_once()

    others = {of for of in made if of.int % 4 != made[0].int % 4}
    assert others <= {of for of, _ in notes.seen}


def test_it_stops_between_two_events_when_it_may_not_go_on(
    record: Record, divisions: Divisions, analyst: ContextMaker
) -> None:
    made, notes = incidents(record, analyst, 6), Notes()
    following = follower(record, divisions, notes)

    following.run_once(lambda: len(notes.seen) < 3)
    assert len(notes.seen) == 3
    following.drain()

    assert {of for of, _ in notes.seen} == set(made), "what was left is done in the next turn"
