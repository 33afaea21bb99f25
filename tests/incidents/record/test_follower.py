"""A follower sees every event once in effect, whatever moment it dies at."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import OperationalError

from incidents.clock import ManualClock
from incidents.incident.incident import Incident
from incidents.record import Aggregate, Context, Follower, Record, Recorded, stable_id
from incidents.record.follower import PARK_AFTER
from tests.conftest import ContextMaker

KINDS = ["incident.reported"]


def report(record: Record, analyst: ContextMaker) -> UUID:
    incident = Incident.report(uuid4(), analyst(), title="Something")
    record.commit(incident)
    return incident.id


class Shadow:
    """For each incident, opens another one: an effect that is easy to count."""

    def __init__(self, record: Record, clock: ManualClock) -> None:
        self.record = record
        self.clock = clock
        self.calls = 0

    def __call__(self, recorded: Recorded) -> Sequence[Aggregate]:
        self.calls += 1
        if recorded.event.actor.startswith("system:"):
            return []
        shadow_id = stable_id("shadow", str(recorded.event.originator_id))
        return [Incident.report(shadow_id, Context.of_event(recorded.event, self.clock), title="Shadow")]

    def id_of(self, incident_id: UUID) -> UUID:
        return stable_id("shadow", str(incident_id))


def test_effects_and_position_are_saved_together(record: Record, analyst: ContextMaker, clock: ManualClock) -> None:
    incidents = [report(record, analyst) for _ in range(3)]
    shadow = Shadow(record, clock)

    Follower(record, "shadow", shadow, kinds=KINDS).drain()

    assert all(record.find(Incident, shadow.id_of(i)) for i in incidents)
    assert record.position_of("shadow") == record.head()


def test_a_new_follower_of_the_same_name_goes_on_where_the_old_one_stopped(
    record: Record, analyst: ContextMaker, clock: ManualClock
) -> None:
    report(record, analyst)
    Follower(record, "shadow", Shadow(record, clock), kinds=KINDS).drain()
    second = Shadow(record, clock)

    Follower(record, "shadow", second, kinds=KINDS).drain()

    assert second.calls == 0


def test_a_handler_that_fails_leaves_the_position_before_its_event(
    record: Record, analyst: ContextMaker, clock: ManualClock
) -> None:
    report(record, analyst)
    before = record.head()
    report(record, analyst)
    shadow = Shadow(record, clock)

    def fails_on_the_second(recorded: Recorded) -> Sequence[Aggregate]:
        if recorded.position > before:
            raise RuntimeError("the machine stumbles")
        return shadow(recorded)

    with pytest.raises(RuntimeError):
        Follower(record, "shadow", fails_on_the_second, kinds=KINDS).run_once()

    assert record.position_of("shadow") == before
    Follower(record, "shadow", shadow, kinds=KINDS).drain()
    assert record.position_of("shadow") == record.head()


def test_two_followers_of_one_name_have_one_effect(record: Record, analyst: ContextMaker, clock: ManualClock) -> None:
    report(record, analyst)
    slow, quick = Shadow(record, clock), Shadow(record, clock)

    def overtaken(recorded: Recorded) -> Sequence[Aggregate]:
        changed = slow(recorded)
        Follower(record, "shadow", quick, kinds=KINDS).drain()
        return changed

    Follower(record, "shadow", overtaken, kinds=KINDS).run_once()

    titles = [r.event.kind for r in record.read(0, 100) if r.event.actor.startswith("system:")]
    assert titles == ["incident.reported"]


def test_an_event_that_cannot_be_handled_is_passed_over_and_the_others_go_on(
    record: Record, analyst: ContextMaker, clock: ManualClock
) -> None:
    poison = report(record, analyst)
    good = report(record, analyst)
    shadow = Shadow(record, clock)

    def handler(recorded: Recorded) -> Sequence[Aggregate]:
        if recorded.event.originator_id == poison:
            raise TypeError("a fault of ours")
        return shadow(recorded)

    follower = Follower(record, "shadow", handler, kinds=KINDS)
    for _ in range(PARK_AFTER - 1):
        with pytest.raises(TypeError):
            follower.run_once()
    follower.drain()

    assert record.find(Incident, shadow.id_of(good)) is not None
    assert len(follower.parked) == 1
    assert follower.is_caught_up()


def test_nothing_is_passed_over_while_the_database_is_away(record: Record, analyst: ContextMaker) -> None:
    report(record, analyst)

    def handler(recorded: Recorded) -> Sequence[Aggregate]:
        raise OperationalError("the server is gone")

    follower = Follower(record, "shadow", handler, kinds=KINDS)
    for _ in range(PARK_AFTER * 3):
        with pytest.raises(OperationalError):
            follower.run_once()

    assert record.position_of("shadow") == 0


def test_only_the_newest_event_of_each_key_is_handled_where_that_is_enough(
    record: Record, analyst: ContextMaker
) -> None:
    first, second = report(record, analyst), report(record, analyst)
    for incident_id in (first, second, first):
        incident = record.load(Incident, incident_id)
        incident.add_note(analyst(), "More.")
        record.commit(incident)
    handled: list[tuple[UUID, int]] = []

    def handler(recorded: Recorded) -> Sequence[Aggregate]:
        handled.append((recorded.event.originator_id, recorded.event.originator_version))
        return []

    kinds = ["incident.reported", "incident.note-added"]
    Follower(record, "newest", handler, kinds=kinds, newest_of=lambda event: event.originator_id).drain()

    assert handled == [(second, 2), (first, 3)]
    assert record.position_of("newest") == record.head()


def test_the_record_wakes_those_who_wait(record: Record, analyst: ContextMaker) -> None:
    woken: list[int] = []
    with record.waking(lambda: woken.append(record.head())):
        report(record, analyst)
    report(record, analyst)

    assert len(woken) == 1
