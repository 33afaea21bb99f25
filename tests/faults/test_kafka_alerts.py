"""Kafka and the processes that read it fail in every way: each alert has its effect once, and none is lost."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaError

import tocsin.kafka
from tests.faults.night import MANY_NIGHTS
from tests.nursery import start
from tests.postgres import PostgresServer
from tests.servers import BACKENDS, fresh_database, kafka, own_kafka
from tests.tocsin.intake.installation import Installation, alert, installation, same_incident, titles
from tests.world import wait_for
from tocsin.alert_consumer import AlertConsumerWorker, open_alert_consumer
from tocsin.intake.messages import Reader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
SEED = 20261122


@contextmanager
def running(here: Installation, name: str | None = None) -> Iterator[AlertConsumerWorker]:
    """A worker in a thread of this process."""
    worker, stop = open_alert_consumer(here, process=name), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield worker
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive(), "the worker did not stop"


def read_up_to(here: Installation, offset: int, topic: str = "wazuh") -> None:
    wait_for(lambda: here.offsets().get((topic, 0)) == offset or None, f"offset {offset}")


def send_all(here: Installation, values: list[bytes]) -> int:
    """Send as a detector does that tries each alert again until it was taken. Returns how often it had to."""
    again = 0
    for value in values:
        while True:
            try:
                here.send([value])
                break
            except KafkaError:
                again += 1
    return again


@pytest.fixture(params=BACKENDS)  # what brokers do is tried with one of them: it does not depend on the database
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as address:
        yield address


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_kafka_is_stopped_killed_and_started_again(url: str, tmp_path: Path) -> None:
    with own_kafka(tmp_path / "kafka") as broker, installation(url, broker.bootstrap) as here, running(here) as worker:
        here.send([alert(number) for number in range(20)])
        read_up_to(here, 20)
        broker.stop()
        wait_for(lambda: worker.failures or None, "the failure to be seen")
        assert worker.fault() is not None
        broker.start()
        here.send([alert(number) for number in range(20, 40)])
        read_up_to(here, 40)
        broker.kill()
        broker.start()
        here.send([alert(number) for number in range(40, 50)])
        wait_for(lambda: here.received() >= titles(range(50)) or None, "the rest")
        wait_for(lambda: worker.fault() is None or None, "the worker to be well again")

        assert here.check_sums().received == titles(range(50))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_kafka_is_wiped(url: str, tmp_path: Path) -> None:
    """The topic is made anew and its numbers begin at 0: what comes now is read, also below the old offset."""
    with own_kafka(tmp_path / "kafka") as broker, installation(url, broker.bootstrap) as here:
        with running(here):
            here.send([alert(number) for number in range(30)])
            read_up_to(here, 30)
            broker.wipe()
            here.send([alert(number) for number in range(25, 40)])
            wait_for(lambda: here.received() >= titles(range(40)) or None, "what came after the wipe")
            read_up_to(here, 15)
        broker.wipe()  # while nobody looks, and then more comes than was read before
        here.send([alert(number) for number in range(40, 80)])
        with running(here):
            wait_for(lambda: here.received() >= titles(range(80)) or None, "what came after the second wipe")

        assert here.check_sums().received == titles(range(80))


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_brokers_that_hang(url: str, tmp_path: Path) -> None:
    with own_kafka(tmp_path / "kafka") as broker, installation(url, broker.bootstrap) as here, running(here) as worker:
        here.send([alert(number) for number in range(5)])
        read_up_to(here, 5)
        broker.pause()
        wait_for(lambda: worker.failures or None, "the failure to be seen")
        broker.resume()
        here.send([alert(number) for number in range(5, 10)])
        wait_for(lambda: here.received() >= titles(range(10)) or None, "the rest")


def test_the_database_is_away_for_a_while(tmp_path: Path) -> None:
    with closing_server() as server, ExitStack() as stack:
        here = stack.enter_context(installation(server.url, kafka()))
        worker = stack.enter_context(running(here))
        here.send([alert(number) for number in range(10)])
        read_up_to(here, 10)
        server.stop()
        here.send([alert(number) for number in range(10, 30)])
        wait_for(lambda: worker.failures >= 2 or None, "the failures to be seen")
        server.start()
        wait_for(lambda: worker.failures == 0 or None, "the worker to go on")
        read_up_to(here, 30)
        # Looked at by others: connections of this process may still be those that the stop ended.
        afresh = stack.enter_context(installation(server.url, kafka(), prefix=here.settings.kafka.topic_prefix))

        assert afresh.check_sums().received == titles(range(30))


@contextmanager
def closing_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    try:
        yield server
    finally:
        server.remove()


class Process:
    """A process that takes alerts in."""

    def __init__(self, here: Installation, broker: str, name: str, log: Path, *, batch: int = 7) -> None:
        prefix = here.settings.kafka.topic_prefix
        arguments = [here.settings.database_url, broker, prefix, str(batch), name]
        self._log = log
        with log.open("ab") as file:
            self._process = start("tests.tocsin.intake.consuming_process", *arguments, stdout=file, stderr=file)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(20)

    def end(self) -> int:
        self._process.terminate()
        return self._process.wait(60)

    def said(self, what: str) -> bool:
        return what in self._log.read_text("utf-8", "replace")


@pytest.mark.parametrize("url", [*(["sqlite"] if MANY_NIGHTS else []), "postgresql"], indirect=True)
def test_killed_at_any_moment(url: str, tmp_path: Path) -> None:
    """SIGKILL at twelve moments between the start and the last message; two processes share four partitions."""
    broker, random_ = kafka(), random.Random(SEED)
    with installation(url, broker) as here:
        here.kafka.make_topic(here.kafka.topics.alerts("wazuh"), partitions=4)
        for partition in range(4):
            own = [alert(partition * 100 + number) for number in range(60)]
            here.send([*own, *(b"poison %d" % partition,), *own[:20]], partition=partition)
        ends = {("wazuh", partition): 81 for partition in range(4)}
        processes = [Process(here, broker, f"p{index}", tmp_path / f"p{index}.log") for index in range(2)]
        try:
            for kill in range(12):
                before = len(here.events())
                pause = random_.uniform(0, 0.4)
                wait_for(lambda: len(here.events()) > before or here.offsets() == ends or None, "some progress")  # noqa: B023
                threading.Event().wait(pause)  # not to wait for something, but to hit another instruction
                index = kill % 2
                processes[index].kill()
                processes[index] = Process(here, broker, f"p{index}", tmp_path / f"p{index}.log")
            wait_for(lambda: here.offsets() == ends or None, "everything")
        finally:
            for process in processes:
                process.kill()

        assert here.check_sums().received == titles(p * 100 + n for p in range(4) for n in range(60))


def test_a_process_that_stood_still_writes_nothing_late(tmp_path: Path) -> None:
    """SIGSTOP, long enough for another to take its partition over, and on again: its batch is refused.

    (On SQLite a process that stands still in a transaction holds the file's lock, and everybody stands still.)
    """
    broker = kafka()
    with fresh_database("postgresql", tmp_path) as url, installation(url, broker) as here:
        here.send([same_incident(number) for number in range(40)])
        first = Process(here, broker, "first", tmp_path / "first.log", batch=3)
        second: Process | None = None
        try:
            wait_for(lambda: len(here.events()) > 10 or None, "a beginning")
            first.send(signal.SIGSTOP)
            second = Process(here, broker, "second", tmp_path / "second.log", batch=3)
            read_up_to(here, 40)
            first.send(signal.SIGCONT)
            here.send([same_incident(number) for number in range(40, 60)])
            read_up_to(here, 60)
        finally:
            first.send(signal.SIGCONT)
            codes = [first.end(), second.end() if second else None]

        assert codes == [0, 0]
        assert here.check_sums().received == titles(range(60))


def test_a_rebalance_in_the_middle_of_a_batch(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch takes so long that the group gives the partition to another consumer: the loser's write is refused."""
    monkeypatch.setattr(tocsin.kafka, "LONGEST_BATCH_MS", 2_000)
    in_the_middle, go_on, read = threading.Event(), threading.Event(), Reader.read

    def slow(self: Reader, message: Any) -> Any:
        if threading.current_thread().name == "loser" and message.offset == 3:
            in_the_middle.set()
            go_on.wait(60)
        return read(self, message)

    monkeypatch.setattr(Reader, "read", slow)
    with installation(url, kafka()) as here, closing(here.consumer("loser")) as loser:
        here.send([alert(number) for number in range(6)])
        thread = threading.Thread(target=_turns, args=(loser, in_the_middle, go_on), name="loser")
        thread.start()
        assert in_the_middle.wait(60)
        with running(here, "winner"):
            read_up_to(here, 6)
            events = len(here.events())
            go_on.set()
            thread.join(60)
            assert not thread.is_alive()
            assert len(here.events()) == events
            here.send([alert(6)])
            read_up_to(here, 7)

        assert here.check_sums().received == titles(range(7))


def _turns(consumer: Any, reached: threading.Event, over: threading.Event) -> None:
    """Take turns until the batch that was held up is over."""
    while not (reached.is_set() and over.is_set()):
        consumer.turn()


def test_duplicates_in_any_order_and_any_partition(url: str) -> None:
    """Each alert three times, all shuffled over three partitions that two intakes read at the same time."""
    with installation(url, kafka(), batch_alerts=10) as here:
        here.kafka.make_topic(here.kafka.topics.alerts("wazuh"), partitions=3)
        copies = [(number, partition) for number in range(40) for partition in range(3)]
        random.Random(SEED).shuffle(copies)
        for partition in range(3):
            here.send([alert(number) for number, at in copies if at == partition], partition=partition)
        with running(here, "one"), running(here, "other"):
            wanted = {("wazuh", partition): 40 for partition in range(3)}
            wait_for(lambda: here.offsets() == wanted or None, "everything")

        assert here.check_sums().received == titles(range(40))


def test_two_intakes_meet_at_one_incident(url: str) -> None:
    """Alerts of one incident in two partitions, taken in at the same time: one incident, each alert in it once."""
    with installation(url, kafka(), batch_alerts=10) as here:
        here.kafka.make_topic(here.kafka.topics.alerts("wazuh"), partitions=2)
        for partition in range(2):
            here.send([same_incident(partition * 100 + n) for n in range(80)], partition=partition)
        with running(here, "one"), running(here, "other"):
            wanted = {("wazuh", 0): 80, ("wazuh", 1): 80}
            wait_for(lambda: here.offsets() == wanted or None, "everything")

        found = here.check_sums()
        assert found.received == titles(p * 100 + n for p in range(2) for n in range(80))
        assert len(found.incidents) == 1
