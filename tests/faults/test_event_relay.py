"""Brokers that stop, die, hang and forget; relays that are killed; a database that goes away. Afterwards the topic of
events has every event of the record, each once or more, none missing, in order per incident."""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.faults.night import MANY_NIGHTS
from tests.postgres import NoPostgres, PostgresServer
from tests.relayed import assert_relayed_completely, read_topic
from tests.servers import KafkaBroker, fresh_database, own_kafka
from tests.tocsin.relay.installation import Installation, Process, installation, running
from tests.world import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEED = 20261122
KILLS = 4


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with own_kafka(tmp_path_factory.mktemp("kafka"), partitions=3) as started:
        yield started


@pytest.fixture
def opened(tmp_path: Path, broker: KafkaBroker) -> Iterator[Installation]:
    with installation(f"sqlite:///{tmp_path / 'f.sqlite'}", broker.bootstrap, f"t{uuid4().hex[:10]}") as found:
        yield found


@contextmanager
def growing(opened: Installation) -> Iterator[None]:
    """Events are recorded all the time, as fast as is fair to the other tests of this machine."""
    stop = threading.Event()

    def grow() -> None:
        while not stop.wait(0.02):
            opened.grow(3, rounds=1)

    thread = threading.Thread(target=grow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def moved_on(opened: Installation) -> None:
    """Wait until events recorded from now on were published."""
    head = opened.record.head()
    wait_for(lambda: opened.position > head or None, f"the relay to pass {head}")


def begun_anew_after(opened: Installation, generation: int) -> None:
    """Wait until the relay has found that what it published is gone."""
    wait_for(lambda: opened.positions.load().generation > generation or None, "the wipe's discovery")


def stopped_and_started(broker: KafkaBroker) -> None:
    broker.stop()
    broker.start()


def killed_and_started(broker: KafkaBroker) -> None:
    broker.kill()
    broker.start()


@pytest.mark.parametrize("trouble", [killed_and_started, *([stopped_and_started] if MANY_NIGHTS else [])])
def test_brokers_that_go_away_and_come_back(
    opened: Installation, broker: KafkaBroker, trouble: Callable[[KafkaBroker], None]
) -> None:
    with growing(opened), running(opened.worker()):
        for _ in range(2):
            moved_on(opened)
            trouble(broker)
        moved_on(opened)
    with running(opened.worker()):
        assert_relayed_completely(opened.record, opened.bootstrap, opened.topic)


def test_brokers_that_hang(opened: Installation, broker: KafkaBroker) -> None:
    """Connections stay open and nobody answers: a batch is given up in time, and the relay can be stopped meanwhile."""
    with growing(opened):
        with running(opened.worker()) as worker:
            moved_on(opened)
            broker.pause()
            at = opened.position
            opened.grow(5)
            worker.wake()
            time.sleep(1)  # so that a batch is on its way; where it is not, the test is only weaker
        assert opened.position - at < 1_000
        broker.resume()
        with running(opened.worker()):
            moved_on(opened)
    with running(opened.worker()):
        assert_relayed_completely(opened.record, opened.bootstrap, opened.topic)


def test_kafka_wiped(opened: Installation, broker: KafkaBroker) -> None:
    opened.tell(2)
    with growing(opened), running(opened.worker()):
        moved_on(opened)
        for _ in range(2):
            generation = opened.positions.load().generation
            broker.wipe()
            begun_anew_after(opened, generation)
            moved_on(opened)
    with running(opened.worker()):
        assert_relayed_completely(opened.record, opened.bootstrap, opened.topic)


def test_wiped_while_nothing_happens(opened: Installation, broker: KafkaBroker) -> None:
    opened.tell(1)
    with running(opened.worker()):
        wait_for(lambda: opened.position == opened.record.head() or None, "the relay to catch up")
        broker.wipe()
        assert_relayed_completely(opened.record, opened.bootstrap, opened.topic)


def test_wiped_and_a_person_decides(tmp_path: Path, broker: KafkaBroker) -> None:
    url, prefix = f"sqlite:///{tmp_path / 'f.sqlite'}", f"t{uuid4().hex[:10]}"
    with installation(url, broker.bootstrap, prefix, when_wiped="stop") as opened:
        opened.grow(5)
        with running(opened.worker()) as worker:
            wait_for(lambda: opened.position == opened.record.head() or None, "the relay to catch up")
            broker.wipe()
            wait_for(lambda: "relay reset" in (worker.fault() or "") or None, "the relay to say so")
            assert read_topic(opened.bootstrap, opened.topic) == []
            opened.positions.put_back(0)
            assert_relayed_completely(opened.record, opened.bootstrap, opened.topic)
        assert worker.fault() is None


@pytest.mark.parametrize("backend", ["postgresql"])  # on SQLite they are stopped and resumed below
def test_relays_killed_again_and_again(backend: str, tmp_path: Path, broker: KafkaBroker) -> None:
    """SIGKILL at random moments, from the start of the process until well into a backlog."""
    chance = random.Random(SEED)
    prefix = f"t{uuid4().hex[:10]}"
    with fresh_database(backend, tmp_path) as url, installation(url, broker.bootstrap, prefix) as opened:
        with growing(opened):
            for number in range(KILLS):
                with opened.process() as relay:
                    relay.started()
                    if number % 2:
                        opened.grow(40)
                        time.sleep(chance.uniform(0, 0.6))  # the moment of death, not a synchronisation
                    else:
                        moved_on(opened)
        with running(opened.worker()):
            repeats = assert_relayed_completely(opened.record, opened.bootstrap, opened.topic)
    assert repeats < 5_000 * KILLS


def stopped(relays: Sequence[Process], file: Path) -> None:
    """Stop them, but not in the middle of a write: in a file of SQLite's nobody else could write then."""
    while True:
        for relay in relays:
            relay.signal(signal.SIGSTOP)
        with closing(sqlite3.connect(file, timeout=2, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
            except sqlite3.OperationalError:
                for relay in relays:
                    relay.signal(signal.SIGCONT)
            else:
                return


def test_relays_stopped_and_resumed_over_each_other(opened: Installation, tmp_path: Path) -> None:
    """Three relays that all believe to hold the lease, one or two of them stopped at any time."""
    chance = random.Random(SEED)
    with growing(opened):
        relays = [opened.process() for _ in range(3)]
        try:
            for relay in relays:
                relay.started()
            for _ in range(5):
                asleep = chance.sample(relays, chance.randint(1, 2))
                stopped(asleep, tmp_path / "f.sqlite")
                moved_on(opened)
                for relay in asleep:
                    relay.signal(signal.SIGCONT)
        finally:
            for relay in relays:
                relay.kill()
    with running(opened.worker()):
        assert_relayed_completely(opened.record, opened.bootstrap, opened.topic)


def test_postgresql_goes_away_and_comes_back(broker: KafkaBroker) -> None:
    try:
        server = PostgresServer()
    except NoPostgres as missing:
        pytest.skip(str(missing))
    try:
        server.start()
        with installation(server.url, broker.bootstrap, f"t{uuid4().hex[:10]}") as opened, running(opened.worker()):
            for mode in ("fast", "immediate"):
                opened.grow(100)
                server.stop(mode)
                server.start()
                opened.grow_when_it_answers(5)
            assert_relayed_completely(opened.record, opened.bootstrap, opened.topic)
    finally:
        server.remove()
