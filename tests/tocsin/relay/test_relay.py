"""The relay over brokers that do what a test says: what is sent, what is noted, and what a kill or a rival leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kafka.errors import KafkaConnectionError

from incidents.errors import InvalidInput
from tests.servers import BACKENDS, emptied_database
from tests.tocsin.relay.installation import Installation, installation, running
from tests.world import wait_for
from tocsin.event_relay import RelayWorker, measure_relay, relay_lag
from tocsin.relay.cloud_events import CloudEvents, Message
from tocsin.relay.relay import BATCH_BYTES, LOOK_SECONDS, EventRelay, RecordBehind, TopicWiped
from tocsin.relay.topic import TopicState


@pytest.fixture(params=BACKENDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    with emptied_database(request.param, tmp_path) as url, installation(url, "127.0.0.1:9", "test") as found:
        yield found


@dataclass
class Brokers:
    """Keep what is committed; fail when told to."""

    topic_id: str = "first"
    committed: list[Message] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=lambda: {0: 0})
    refuse: int = 0
    before_commit: Callable[[], object] = lambda: None
    connections: int = 0
    closed: int = 0
    now: float = 1_000.0

    def look(self) -> TopicState:
        return TopicState(self.topic_id, dict(self.ends))

    def connect(self) -> Brokers:
        self.connections += 1
        return self

    def send(self, messages: Iterable[Message], stopping: Callable[[], bool]) -> dict[int, int]:
        batch = list(messages)
        if self.refuse:
            self.refuse -= 1
            raise KafkaConnectionError("gone")
        self.committed += batch
        self.ends[0] += len(batch)
        self.before_commit()
        return dict(self.ends)

    def close(self) -> None:
        self.closed += 1

    def wipe(self) -> None:
        self.topic_id, self.committed, self.ends = "second", [], {0: 0}

    def later(self) -> None:
        """So much later that the topic is looked at again."""
        self.now += LOOK_SECONDS

    @property
    def values(self) -> list[bytes]:
        return [message.value for message in self.committed]


def relay_of(
    opened: Installation,
    brokers: Brokers,
    *,
    replay: bool = True,
    held: Callable[[], bool] = lambda: True,
    batch_bytes: int = BATCH_BYTES,
) -> EventRelay:
    return EventRelay(
        opened.record,
        opened.positions,
        CloudEvents(opened.record.registry, "https://tocsin.example"),
        look=brokers.look,
        connect=brokers.connect,
        replay_when_wiped=replay,
        holds=held,
        batch_bytes=batch_bytes,
        monotonic=lambda: brokers.now,
    )


def drain(relay: EventRelay) -> int:
    total = 0
    while handled := relay.run_once():
        total += handled
    return total


def expected(opened: Installation, after: int = 0) -> list[bytes]:
    events = CloudEvents(opened.record.registry, "https://tocsin.example")
    rows = opened.record.recorder.select_notifications(start=after, limit=10_000, inclusive_of_start=False)
    return [events.message(row).value for row in rows]


def test_everything_is_sent_once_in_order_and_noted(opened: Installation) -> None:
    brokers = Brokers()
    opened.tell(1)
    relay = relay_of(opened, brokers)

    drain(relay)
    opened.grow(3)
    drain(relay)

    assert brokers.values == expected(opened)
    assert opened.position == opened.record.head()
    assert brokers.connections == 1


def test_what_was_refused_is_sent_again_over_a_new_connection(opened: Installation) -> None:
    brokers = Brokers(refuse=2)
    opened.grow(3)
    relay = relay_of(opened, brokers)

    for _ in range(2):
        with pytest.raises(KafkaConnectionError):
            relay.run_once()
        assert opened.position == 0
    drain(relay)

    assert brokers.values == expected(opened)
    assert (brokers.connections, brokers.closed) == (3, 2)


def test_killed_between_sending_and_noting_it_repeats_and_loses_nothing(opened: Installation) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    brokers = Brokers(before_commit=die)
    opened.grow(3)
    with pytest.raises(KeyboardInterrupt):
        relay_of(opened, brokers).run_once()
    assert opened.position == 0

    brokers.before_commit = lambda: None
    drain(relay_of(opened, brokers))

    assert brokers.values == expected(opened) * 2


def test_who_was_overtaken_while_sending_leaves_the_position_alone(opened: Installation) -> None:
    """A relay that was stopped in the middle and goes on after another came further."""
    brokers = Brokers()
    opened.grow(3)
    rival = relay_of(opened, brokers)

    def overtake() -> None:
        brokers.before_commit = lambda: None
        drain(rival)
        opened.grow(2)
        drain(rival)

    slow = relay_of(opened, brokers)
    brokers.before_commit = overtake
    slow.run_once()

    assert opened.position == opened.record.head()
    assert drain(slow) == 0, "it goes on from where the other came to"
    assert brokers.values == expected(opened)[: 3 * 9] * 2 + expected(opened)[3 * 9 :]


def test_a_reset_beats_the_relay_that_is_just_sending(opened: Installation) -> None:
    brokers = Brokers()
    opened.grow(3)
    relay = relay_of(opened, brokers)
    drain(relay)
    opened.grow(1)
    brokers.before_commit = lambda: (setattr(brokers, "before_commit", lambda: None), opened.positions.put_back(10))

    drain(relay)

    head = opened.record.head()
    assert opened.position == head
    assert brokers.values == expected(opened) + expected(opened, after=10)


@pytest.mark.parametrize("to", [-1, 28])
def test_a_reset_goes_back_and_nowhere_else(opened: Installation, to: int) -> None:
    opened.grow(3)
    drain(relay_of(opened, Brokers()))

    with pytest.raises(InvalidInput, match="position 27") as refused:
        opened.positions.put_back(to)

    assert refused.value.errors[0].field == "--from"
    assert opened.position == 27


def test_a_topic_made_again_gets_the_whole_record(opened: Installation) -> None:
    brokers = Brokers()
    opened.grow(3)
    relay = relay_of(opened, brokers)
    drain(relay)
    brokers.wipe()
    brokers.later()

    drain(relay)

    assert brokers.values == expected(opened)


def test_a_topic_that_lost_messages_gets_the_whole_record(opened: Installation) -> None:
    """The same topic, but its end is before what was acknowledged: a disk was lost."""
    brokers = Brokers()
    opened.grow(3)
    drain(relay_of(opened, brokers))
    brokers.ends[0] -= 1

    drain(relay_of(opened, brokers))

    assert brokers.values == expected(opened) * 2


def test_a_topic_whose_old_messages_aged_away_is_left_alone(opened: Installation) -> None:
    brokers = Brokers()
    opened.grow(3)
    drain(relay_of(opened, brokers))
    brokers.committed.clear()  # retention: offsets go on
    brokers.later()

    assert drain(relay_of(opened, brokers)) == 0


def test_where_a_person_is_to_decide_nothing_is_sent_until_then(opened: Installation) -> None:
    brokers = Brokers()
    opened.grow(3)
    relay = relay_of(opened, brokers, replay=False)
    drain(relay)
    brokers.wipe()
    brokers.later()
    opened.grow(1)

    for _ in range(2):
        with pytest.raises(TopicWiped, match="tocsin relay reset --from 0"):
            relay.run_once()
    assert brokers.values == []
    opened.positions.put_back(20)
    drain(relay)

    assert brokers.values == expected(opened, after=20)


def test_a_record_restored_from_an_older_copy_is_called_out(opened: Installation) -> None:
    brokers = Brokers()
    opened.grow(1)
    relay = relay_of(opened, brokers)
    drain(relay)
    seen = opened.positions.load()
    opened.positions.advance(seen, seen.position + 5, {})

    with pytest.raises(RecordBehind, match=f"--from {opened.record.head()}"):
        relay.run_once()


def test_who_does_not_hold_the_lease_sends_nothing_and_lets_go(opened: Installation) -> None:
    brokers, held = Brokers(), [True]
    opened.grow(1)
    relay = relay_of(opened, brokers, held=lambda: held[0])
    drain(relay)
    opened.grow(1)
    held[0] = False

    assert relay.run_once() == 0
    assert brokers.closed == 1
    assert len(brokers.committed) == 9


def test_batches_stay_small_where_events_are_large(opened: Installation) -> None:
    brokers = Brokers()
    opened.grow(150, rounds=2)
    relay = relay_of(opened, brokers, batch_bytes=60_000)

    sizes = []
    while handled := relay.run_once():
        sizes.append(handled)

    assert sizes[0] == 500, "before it knows how large they are"
    assert max(sizes[1:]) < 100
    assert brokers.values == expected(opened)


def test_the_lag_is_known_without_kafka_and_without_a_relay(opened: Installation) -> None:
    opened.grow(3)
    before = relay_lag(opened)
    drain(relay_of(opened, Brokers()))
    after = relay_lag(opened)

    assert (before.position, before.head, before.behind, before.saved_at) == (0, 27, 27, None)
    assert before.seconds > 0
    assert (after.position, after.behind, after.seconds) == (27, 0, 0.0)
    assert measure_relay(opened) == {"tocsin_relay_lag_events": {(): 0}, "tocsin_relay_lag_seconds": {(): 0.0}}


def test_the_worker_says_what_is_wrong_until_it_is_right(opened: Installation) -> None:
    brokers = Brokers(refuse=1_000_000)
    opened.grow(1)

    with running(RelayWorker(relay_of(opened, brokers), opened.metrics)) as worker:
        fault = wait_for(worker.fault, "the fault to be said")
        brokers.refuse = 0
        wait_for(lambda: opened.position == 9 or None, "the events to be sent")
        opened.grow(1)
        worker.wake()
        wait_for(lambda: opened.position == 18 or None, "the next events to be sent")

    assert fault == "Kafka does not take events: KafkaConnectionError"
    assert (worker.failures, worker.fault()) == (0, None)
    assert brokers.values == expected(opened)
    assert brokers.closed >= 2, "it lets go when it ends"
