"""Alerts from Kafka become incidents once, whatever is repeated, reordered or taken from one consumer to another."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from sqlalchemy import update

from incidents.alerts.events import AlertReceived
from incidents.incident.events import AlertLinked
from tests.tocsin.intake.installation import Installation, alert, same_incident, titles, turn_until
from tests.tocsin.spans import recorded_spans
from tocsin.intake.offsets import Partition
from tocsin.intake.tables import kafka_offsets
from tocsin.kafka import topic_id_of

pytestmark = pytest.mark.slow


def test_alerts_become_incidents_in_batches(here: Installation) -> None:
    here.send([alert(number) for number in range(40)] + [same_incident(number) for number in range(40, 60)])

    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets().get(("wazuh", 0)) == 60, "60 messages")

    found = here.check_sums()
    assert found.received == titles(range(60))
    assert found.order == [f"alert {number}" for number in range(60)]
    assert len(found.incidents) == 40  # the twenty belong with the second alert, which has their agent
    assert len({event.recorded_at for event in here.events()}) < 10  # batches, not one by one


def test_what_came_twice_or_in_another_order_has_one_effect(here: Installation) -> None:
    once = [alert(number) for number in range(20)]
    here.send([*once, *reversed(once), once[3]])
    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets().get(("wazuh", 0)) == 41, "the first round")
        here.send(once, topic="wazuh.again")
        turn_until([consumer], lambda: here.offsets().get(("wazuh.again", 0)) == 20, "a topic that came later")

    assert here.check_sums().received == titles(range(20))
    assert _count(here, "duplicate") == 41


def test_a_consumer_goes_on_where_the_database_says_and_not_where_kafka_does(here: Installation) -> None:
    here.send([alert(number) for number in range(10)])
    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets().get(("wazuh", 0)) == 10, "10 messages")
    with here.engine.begin() as connection:
        connection.execute(update(kafka_offsets).values(next_offset=4))
    here.send([alert(10)])

    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets().get(("wazuh", 0)) == 11, "the eleventh")

    assert _count(here, "duplicate") == 6
    assert here.check_sums().received == titles(range(11))


def test_who_sent_it_and_what_caused_it_are_the_same_each_time(here: Installation) -> None:
    here.send([alert(0), alert(1)], topic="wazuh.frankfurt")
    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets().get(("wazuh.frankfurt", 0)) == 2, "2 messages")

    received = [event for event in here.events() if isinstance(event, AlertReceived)]
    assert {event.actor for event in received} == {"siem:wazuh.frankfurt"}
    assert [event.cause.rpartition("/")[2] for event in received] == ["0", "1"]
    assert len({event.cause.rpartition("/")[0] for event in received}) == 1


def test_the_dialect_is_told_by_header_topic_or_content(here: Installation) -> None:
    ocsf = json.dumps(
        {
            "class_uid": 2004,
            "type_uid": 200401,
            "time": 1795103267000,
            "severity_id": 4,
            "metadata": {"version": "1.1.0", "product": {"name": "Probe", "vendor_name": "Acme"}},
            "finding_info": {"uid": "f-1", "title": "alert from a probe"},
        }
    ).encode()
    here.send([alert(1)], topic="edge", headers=[("tocsin-dialect", b"wazuh")])
    here.send([ocsf], topic="ocsf")
    here.send([alert(2), ocsf.replace(b"f-1", b"f-2")], topic="mixed")

    with closing(here.consumer()) as consumer:
        wanted = {("edge", 0): 1, ("ocsf", 0): 1, ("mixed", 0): 2}
        turn_until([consumer], lambda: here.offsets() == wanted, "4 messages")

    assert here.check_sums().received == {*titles([1, 2]), "alert from a probe"}
    assert (_count(here, "declared"), _count(here, "linked")) == (3, 1)


def test_a_storm_is_one_incident_and_its_history_stays_short(here: Installation) -> None:
    here.send([same_incident(number) for number in range(900)])
    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets().get(("wazuh", 0)) == 900, "900 messages")

    events = here.events()
    assert sum(isinstance(event, AlertReceived) for event in events) == 900
    assert sum(isinstance(event, AlertLinked) for event in events) == 500
    assert len({event.incident_id for event in events if isinstance(event, AlertReceived)}) == 1


def test_a_consumer_whose_partition_was_taken_over_cannot_write(here: Installation) -> None:
    """Stopped in the middle of a batch, long enough for another to go on: what it does then is refused, all of it."""
    here.send([alert(number) for number in range(5)])
    with closing(here.consumer("first")) as first, closing(here.consumer("second")) as second:
        turn_until([first], lambda: here.offsets().get(("wazuh", 0)) == 5, "the first 5")
        here.send([alert(number) for number in range(5, 9)])
        topic = here.kafka.topics.alerts("wazuh")
        taken = first._offsets.claim  # what the other one would do
        assert first._consumer is not None
        claim = second._offsets.claim(Partition(topic, 0), topic_id_of(first._consumer, topic))
        assert claim.next_offset == 5
        events = len(here.events())

        for _ in range(4):
            first.turn()

        assert len(here.events()) == events
        assert here.offsets() == {("wazuh", 0): 5}
        assert taken is not None
        # Kafka still says that it is the first one's: after a while it asks again, and goes on.
        turn_until([first], lambda: here.offsets().get(("wazuh", 0)) == 9, "the first one to take it over again")
    assert here.check_sums().received == titles(range(9))


def test_two_consumers_share_the_partitions_and_lose_nothing_when_one_joins_or_leaves(here: Installation) -> None:
    topic = here.kafka.topics.alerts("wazuh")
    here.kafka.make_topic(topic, partitions=4)
    for partition in range(4):
        here.send([alert(partition * 100 + number) for number in range(30)], partition=partition)

    def all_read(each: int) -> bool:
        return here.offsets() == {("wazuh", partition): each for partition in range(4)}

    with closing(here.consumer()) as first:
        turn_until([first], lambda: bool(here.offsets()), "the first batch")
        with closing(here.consumer()) as second:
            turn_until([first, second], lambda: len(second._claims) == 2 and len(first._claims) == 2, "a fair share")
            for partition in range(4):
                here.send([alert(partition * 100 + number) for number in range(30, 50)], partition=partition)
            turn_until([first, second], lambda: all_read(50), "everything")
        for partition in range(4):
            here.send([alert(partition * 100 + number) for number in range(50, 60)], partition=partition)
        turn_until([first], lambda: all_read(60), "what the second one left")

    numbers = {partition * 100 + number for partition in range(4) for number in range(60)}
    assert here.check_sums().received == titles(numbers)


def test_a_trace_goes_with_the_message(here: Installation) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    here.send([alert(1)], headers=[("traceparent", f"00-{trace_id}-b7ad6b7169203331-01".encode())])
    with recorded_spans() as spans, closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets().get(("wazuh", 0)) == 1, "1 message")
        found = spans.all()

    linked = {f"{link.context.trace_id:032x}" for one in found for link in one.links}
    assert trace_id in linked


def _count(here: Installation, outcome: str) -> float:
    found = (
        here.metrics.registry.get_sample_value("tocsin_alerts_total", {"dialect": "wazuh", "outcome": outcome}),
        here.metrics.registry.get_sample_value("tocsin_alerts_total", {"dialect": "ocsf", "outcome": outcome}),
    )
    return sum(value or 0 for value in found)
