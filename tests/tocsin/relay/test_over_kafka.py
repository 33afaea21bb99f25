"""The relay over a real broker: what a consumer reads, the topic that is made, rivals, and a relay that was stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from tests.end_to_end.test_nothing_personal import assert_clean
from tests.faults.test_kill_the_story import all_settled, ended
from tests.relayed import assert_relayed_completely, read_topic
from tests.servers import BACKENDS, emptied_database, kafka
from tests.tocsin.relay.installation import Installation, Process, installation, running
from tests.tocsin.relay.test_schemas import assert_valid
from tests.world import wait_for, world_and_tocsin
from tocsin.kafka import Kafka
from tocsin.relay.topic import TopicUnfit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def prefix() -> str:
    return f"t{uuid4().hex[:10]}"


@pytest.fixture(params=BACKENDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Iterator[Installation]:
    with emptied_database(request.param, tmp_path) as url, installation(url, kafka(), prefix) as found:
        yield found


@pytest.fixture
def on_sqlite(tmp_path: Path, prefix: str) -> Iterator[Installation]:
    with installation(f"sqlite:///{tmp_path / 'relay.sqlite'}", kafka(), prefix) as found:
        yield found


def test_a_consumer_reads_the_whole_record(opened: Installation) -> None:
    opened.tell(2)

    with running(opened.worker()) as worker:
        assert assert_relayed_completely(opened.record, opened.bootstrap, opened.topic) == 0
        for _ in range(3):
            opened.grow(5)
            worker.wake()
            assert assert_relayed_completely(opened.record, opened.bootstrap, opened.topic) == 0

    assert len({one.partition for one in read_topic(opened.bootstrap, opened.topic)}) == 3, "work is spread"


def test_binary_mode_reads_the_same(tmp_path: Path, prefix: str) -> None:
    url = f"sqlite:///{tmp_path / 'relay.sqlite'}"
    with installation(url, kafka(), prefix, mode="binary", compression="none") as opened:
        opened.tell(1)
        with running(opened.worker()):
            assert assert_relayed_completely(opened.record, opened.bootstrap, opened.topic) == 0


def test_the_topic_that_is_made_keeps_events_as_set(tmp_path: Path, prefix: str) -> None:
    url = f"sqlite:///{tmp_path / 'relay.sqlite'}"
    with installation(url, kafka(), prefix, retention_days=3) as opened:
        opened.relay().run_once()
        admin = KafkaAdminClient(bootstrap_servers=opened.bootstrap)
        try:
            (described,) = admin.describe_topics([opened.topic])
            resource = ConfigResource(ConfigResourceType.TOPIC, opened.topic)
            found = admin.describe_configs([resource])["topic"][opened.topic]
        finally:
            admin.close()

    assert len(described["partitions"]) == 3
    assert found["retention.ms"]["value"] == str(3 * 86_400_000)
    assert found["max.message.bytes"]["value"] == str(16 * 1_048_576)


def test_a_topic_that_would_be_compacted_is_refused(on_sqlite: Installation) -> None:
    made = Kafka(on_sqlite.settings.kafka, "test").make_topic(on_sqlite.topic, cleanup_policy="compact")
    assert made
    on_sqlite.grow(1)

    with pytest.raises(TopicUnfit, match=r"cleanup\.policy=compact"):
        on_sqlite.relay().run_once()
    assert on_sqlite.position == 0


def test_an_event_larger_than_a_request_of_the_broker_usually_is(on_sqlite: Installation) -> None:
    """A batch of deliveries can be large; nothing may be too large to be relayed in the topic we made."""
    on_sqlite.grow(2, rounds=1)
    on_sqlite.grow_large(3 * 1_048_576)
    on_sqlite.grow(2, rounds=1)

    with running(on_sqlite.worker()):
        assert assert_relayed_completely(on_sqlite.record, on_sqlite.bootstrap, on_sqlite.topic) == 0


def test_two_relays_without_a_lease_repeat_and_lose_nothing(opened: Installation) -> None:
    """Leases save work only: here both believe that they may."""
    one, other = opened.relay(process="one"), opened.relay(process="other")
    fenced_off = 0
    for turn in range(6):
        opened.grow(4)
        relay = (one, other)[turn % 2]
        try:
            relay.run_once()
        except KafkaError:
            fenced_off += 1  # by the other; its next turn is over a new connection, which fences off the other
            relay.run_once()
    one.close()
    other.close()

    assert fenced_off >= 3
    assert_relayed_completely(opened.record, opened.bootstrap, opened.topic, patience=0)
    assert opened.position == opened.record.head()


def stop_in_the_middle(opened: Installation, relay: Process, backlogs: int = 10) -> int:
    """Stop it while it has a backlog, and return where it is. One that was too fast gets another backlog."""
    left_at = 0
    for _ in range(backlogs):
        wait_for(lambda: opened.position > left_at or None, "the next batch to be noted")
        relay.signal(signal.SIGSTOP)
        if (left_at := opened.position) < opened.record.head() - 90:
            break
        opened.grow(330, rounds=4)
        relay.signal(signal.SIGCONT)
    return left_at


def test_a_relay_that_was_stopped_and_goes_on_does_no_harm(opened: Installation) -> None:
    """SIGSTOP in the middle of a backlog; another takes over and finishes; then SIGCONT."""
    opened.grow(330, rounds=4)
    with opened.process() as stopped:
        stopped.started()
        left_at = stop_in_the_middle(opened, stopped)
        with running(opened.worker(process="second")):
            wait_for(lambda: opened.position == opened.record.head() or None, "the second relay to finish")
        stopped.signal(signal.SIGCONT)
        opened.grow(10)
        wait_for(lambda: opened.position == opened.record.head() or None, "the first relay to go on")

    assert left_at < opened.record.head() - 90, "it was stopped in the middle"
    repeats = assert_relayed_completely(opened.record, opened.bootstrap, opened.topic)
    assert repeats <= 5_000, "at most the batch that was on its way"


def test_nobody_waits_long_for_a_relay_that_died_in_a_transaction(on_sqlite: Installation) -> None:
    """The next relay ends the transaction that the dead one left open, so readers of committed messages go on."""
    on_sqlite.grow(330, rounds=4)
    with on_sqlite.process() as killed:
        killed.started()
        wait_for(lambda: on_sqlite.position or None, "the first batch to be noted")
    with running(on_sqlite.worker()):
        assert_relayed_completely(on_sqlite.record, on_sqlite.bootstrap, on_sqlite.topic, patience=30)


def test_the_whole_night_is_published_without_a_trace_of_anybody(tmp_path: Path, prefix: str) -> None:
    """First light from beginning to end: every event is what its schema says, and none names an affected person."""
    with world_and_tocsin(tmp_path / "night") as (world, tocsin):
        tocsin.start()
        tocsin.announced()
        wait_for(lambda: ended(tocsin), "the night to end")
        wait_for(lambda: all_settled(world), "the last receipts")
        tocsin.stop()
        url = f"sqlite:///{tocsin.folder / 'tocsin.sqlite'}"
        with installation(url, kafka(), prefix) as opened, running(opened.worker()):
            assert_relayed_completely(opened.record, opened.bootstrap, opened.topic)
            met = assert_valid(opened.record)
            found = read_topic(opened.bootstrap, opened.topic)

    assert {"tocsin.incident.recovered.v1", "tocsin.campaign.approved.v1", "tocsin.delivery.recorded.v1"} <= met
    for one in found:
        assert_clean(f"{one.key} {one.event}", f"the message {one.id}")
