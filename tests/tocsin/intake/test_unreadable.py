"""Messages that are damaged, or compressed in a way that cannot be undone here, stop their partition, loudly, and no
other."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from gzip import BadGzipFile
from pathlib import Path

import kafka.codec
import pytest
from kafka.errors import CorruptRecordError, KafkaConnectionError, UnsupportedCodecError
from structlog.testing import capture_logs

from tests.servers import fresh_database
from tests.servers import kafka as broker
from tests.tocsin.intake.installation import Installation, alert, installation, titles
from tests.world import wait_for
from tocsin.alert_consumer import open_alert_consumer
from tocsin.intake import consumer as consuming
from tocsin.intake.offsets import Partition
from tocsin.intake.unreadable import DAMAGED_AFTER, PACKAGES, Unreadable
from tocsin.workers import FAILURES_IN_A_ROW

PLACE = Partition("t.alerts.wazuh", 0)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    with fresh_database("sqlite", tmp_path) as url, installation(url, broker()) as opened:
        yield opened


@pytest.mark.parametrize(("codec", "package"), PACKAGES.items())
def test_what_to_install_is_said(codec: str, package: str) -> None:
    unreadable = Unreadable()
    with capture_logs() as said:
        error = UnsupportedCodecError(f"Libraries for {codec} compression codec not found")
        assert unreadable.failed(PLACE, 7, "id", error)

    told = unreadable.told({PLACE})
    assert told is not None
    assert PLACE.topic in told
    assert f"install the Python package {package}" in told
    assert unreadable.told({Partition(PLACE.topic, 1)}) is None
    assert [(line["event"], line["codec"], line["offset"]) for line in said] == [("alerts.codec-missing", codec, 7)]


def test_a_codec_that_nobody_knows_is_for_the_senders_to_change() -> None:
    unreadable = Unreadable()
    assert unreadable.failed(PLACE, 0, "id", UnsupportedCodecError("Unrecognized compression type: 7"))

    assert "let senders compress by gzip" in str(unreadable.told(None))


def test_damaged_messages_are_read_again_before_they_count_as_damaged() -> None:
    unreadable, damaged = Unreadable(), CorruptRecordError("failed crc check")
    with capture_logs() as said:
        for _ in range(DAMAGED_AFTER - 1):
            assert unreadable.failed(PLACE, 7, "id", damaged), "begin anew, without a pause for the others"
        assert unreadable.told(None) is None
        assert unreadable.failed(PLACE, 9, "id", damaged), "it came further, so the first was damaged on its way"
        assert unreadable.told(None) is None
        for _ in range(DAMAGED_AFTER - 1):
            assert unreadable.failed(PLACE, 9, "id", damaged)

    told = unreadable.told({PLACE})
    assert told is not None
    assert f"{PLACE.topic}-0 from 9 on are damaged" in told
    assert "tocsin alert step-over" in told
    assert [line["offset"] for line in said if line["event"] == "alerts.damaged"] == [9]


@pytest.mark.parametrize(
    "error", [zlib.error("-3"), BadGzipFile("no"), struct.error("short"), UnicodeDecodeError("utf-8", b"x", 0, 1, "no")]
)
def test_what_cannot_be_unpacked_is_damaged_too(error: Exception) -> None:
    unreadable = Unreadable()
    for _ in range(DAMAGED_AFTER):
        assert unreadable.failed(PLACE, 7, "id", error)
    assert unreadable.among({PLACE}) == {PLACE: 7}


@pytest.mark.parametrize("error", [KafkaConnectionError("away"), ConnectionResetError(), TimeoutError()])
def test_brokers_that_are_away_damage_nothing(error: Exception) -> None:
    unreadable = Unreadable()
    for _ in range(DAMAGED_AFTER + 1):
        assert not unreadable.failed(PLACE, 7, "id", error)
    assert unreadable.told(None) is None


def test_it_is_over_when_the_messages_are_gone_or_stepped_over_or_the_topic_is_another() -> None:
    unreadable = Unreadable()
    for oldest, topic_id, stored, gone in (
        (7, "id", None, False),
        (7, "", 7, False),
        (8, "id", 7, True),
        (7, "id", 8, True),
        (0, "other", None, True),
    ):
        unreadable.failed(PLACE, 7, "id", UnsupportedCodecError("Libraries for lz4 compression codec not found"))
        assert unreadable.is_gone(PLACE, oldest=oldest, topic_id=topic_id, stored=stored) is gone
        assert bool(unreadable.among({PLACE})) is not gone


@pytest.mark.slow
def test_the_other_topics_go_on(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka.codec, "has_zstd", lambda: False)
    monkeypatch.setattr(consuming, "LOOK_SECONDS", 0.3)
    packed = here.kafka.topics.alerts("wazuh.packed")
    here.kafka.make_topic(packed, partitions=1, compression_type="zstd")  # whatever senders do, brokers compress it
    here.send([alert(number) for number in range(100, 105)], topic="wazuh.packed")
    here.send([alert(number) for number in range(5)])

    worker, stop = open_alert_consumer(here), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: here.received() == titles(range(5)) or None, "the topic that can be read")
        wait_for(worker.fault, "the other one to be told of")
        here.send([alert(number) for number in range(5, 10)])
        wait_for(lambda: here.received() == titles(range(10)) or None, "what came later")
        assert f"messages in {packed} are compressed" in str(worker.fault())
        assert "install the Python package zstandard" in str(worker.fault())
        wait_for(lambda: worker.failures >= FAILURES_IN_A_ROW or None, "readiness to say so")
        wait_for(lambda: here.metrics.intake_left_out._value.get() == 1 or None, "the metric")
        wait_for(lambda: here.metrics.intake_lag._value.get() == 5 or None, "what is left to read there to be counted")

        with closing(here.kafka.admin()) as admin:
            admin.delete_topics([packed])
        wait_for(lambda: packed not in _topics(here) or None, "the topic to be gone")
        here.kafka.make_topic(packed, partitions=1)
        here.send([alert(number) for number in range(200, 205)], topic="wazuh.packed")
        wait_for(lambda: here.received() >= titles(range(200, 205)) or None, "the topic that was made anew")
        wait_for(lambda: worker.fault() is None or None, "readiness")
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert here.check_sums().received == titles(range(10)) | titles(range(200, 205))


def _topics(here: Installation) -> set[str]:
    with closing(here.kafka.admin()) as admin:
        return set(admin.list_topics())
