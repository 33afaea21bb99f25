"""Messages that are no alerts are put aside whole, with the reason, and stop nothing. They can be seen and replayed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError
from typer.testing import CliRunner

from incidents.alerts.batch import BatchIntake
from incidents.alerts.decision import Decider, MergedTooOften
from incidents.errors import Conflict, NotFound
from tests.tocsin.intake.installation import Installation, alert, titles, turn_until
from tests.world import wait_for
from tocsin.cli.main import app
from tocsin.intake import dead_letters
from tocsin.intake.consumer import GIVE_UP_AFTER
from tocsin.intake.dead_letters import DeadLetter, DeadLetters, read_dead_letters, replay
from tocsin.intake.messages import Reason

pytestmark = pytest.mark.slow

PHONE = "13800138000"
"""What looks like somebody's number: it may be in the payload, and nowhere else."""

POISON: dict[str, tuple[bytes | None, str, Reason]] = {
    "not JSON": (b"\x00\x01" + PHONE.encode(), "wazuh", Reason.MALFORMED),
    "cut off": (b'{"rule": {"id": "1"', "wazuh", Reason.MALFORMED),
    "empty": (b"", "wazuh", Reason.MALFORMED),
    "a tombstone": (None, "wazuh", Reason.MALFORMED),
    "not UTF-8": (b'{"rule": "\xff\xfe"}', "wazuh", Reason.MALFORMED),
    "an array": (b"[" + alert(1) + b"]", "wazuh", Reason.INVALID),
    "another dialect": (json.dumps({"class_uid": 2004, "phone": PHONE}).encode(), "wazuh", Reason.INVALID),
    "a wrong type": (alert(1, rule__level=PHONE), "wazuh", Reason.INVALID),
    "a name twice": (b'{"rule": {}, "rule": {}}', "wazuh", Reason.INVALID),
    "too deep": (b'{"rule": ' + b"[" * 100 + b"]" * 100 + b"}", "wazuh", Reason.INVALID),
    "too large": (alert(1, full_log="x" * 1_100_000), "wazuh", Reason.TOO_LARGE),
    "of no dialect": (b'{"hello": "world"}', "edge", Reason.NO_DIALECT),
}


def letters(here: Installation) -> list[DeadLetter]:
    return list(read_dead_letters(here.kafka))


def test_poison_of_every_kind_is_put_aside_and_stops_nothing(here: Installation, logs: list[Any]) -> None:
    here.kafka.make_topic(here.kafka.topics.alerts("wazuh"), partitions=1, max_message_bytes="2000000")
    for number, (value, topic, _) in enumerate(POISON.values()):
        here.send([value], topic=topic, key=b"k", headers=[("traceparent", b"00-x")])
        here.send([alert(100 + number)])
    ends = {("wazuh", 0): 2 * len(POISON) - 1, ("edge", 0): 1}

    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets() == ends, "all of them")

    assert here.check_sums().received == titles(range(100, 100 + len(POISON)))
    found = letters(here)
    assert sorted(one.reason for one in found) == sorted(reason.value for _, _, reason in POISON.values())
    assert sorted(one.value or b"" for one in found) == sorted(value or b"" for value, _, _ in POISON.values())
    assert {one.key for one in found} == {b"k"}
    assert all(one.headers == [("traceparent", b"00-x")] for one in found)
    assert all(one.detail and PHONE not in one.detail for one in found)
    assert {one.topic for one in found} == {here.kafka.topics.alerts("wazuh"), here.kafka.topics.alerts("edge")}
    assert PHONE not in json.dumps(logs, default=str)
    for reason in Reason:
        wanted = sum(reason is one for _, _, one in POISON.values())
        counted = here.metrics.registry.get_sample_value("tocsin_dead_letters_total", {"reason": reason.value})
        assert (counted or 0) == wanted


def test_what_cannot_be_decided_is_put_aside_alone(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that shows only when its incident is looked at must not take the batch around it with it."""
    decide = Decider.decide

    def stumble(self: Decider, read: Any, *rest: Any) -> Any:
        if read.summary.title == "alert 3":
            raise MergedTooOften("The incident of this alert was merged too many times over; link the alert by hand.")
        if read.summary.title == "alert 5":
            raise ZeroDivisionError("a fault of ours")
        return decide(self, read, *rest)

    monkeypatch.setattr(Decider, "decide", stumble)
    here.send([alert(number) for number in range(8)])

    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets() == {("wazuh", 0): 8}, "all of them")

    assert here.check_sums().received == titles({0, 1, 2, 4, 6, 7})
    found = letters(here)
    assert [(one.reason, one.offset) for one in found] == [("undecidable", 3), ("undecidable", 5)]
    assert "by hand" in found[0].detail
    assert "ZeroDivisionError" in found[1].detail


def test_an_alert_that_can_never_be_saved_does_not_stop_the_others(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose earlier events were taken off the database, say: what it would write is refused each time."""
    take = BatchIntake.take

    def refuse(self: BatchIntake, alerts: Any, *rest: Any) -> Any:
        if any(one.read.summary.title == "alert 3" for one in alerts):
            raise Conflict("Somebody else recorded something here first. Load it again and repeat the command.")
        return take(self, alerts, *rest)

    monkeypatch.setattr(BatchIntake, "take", refuse)
    here.send([alert(number) for number in range(8)])
    with closing(here.consumer()) as consumer:
        failures = 0
        while here.offsets().get(("wazuh", 0)) != 8:
            try:
                consumer.turn()
            except Conflict:
                failures += 1
                assert failures < 10
    assert failures == GIVE_UP_AFTER - 1

    assert here.check_sums().received == titles({0, 1, 2, 4, 5, 6, 7})
    assert [(one.reason, one.offset) for one in letters(here)] == [("undecidable", 3)]


def test_a_fault_of_ours_in_reading_one_message_is_put_aside(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = BatchIntake.prepare

    def stumble(self: BatchIntake, dialect: str, raw: bytes) -> Any:
        if b"alert 1" in raw:
            raise RecursionError
        return prepare(self, dialect, raw)

    monkeypatch.setattr(BatchIntake, "prepare", stumble)
    here.send([alert(number) for number in range(3)])

    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets() == {("wazuh", 0): 3}, "all of them")

    assert here.check_sums().received == titles({0, 2})
    assert [one.reason for one in letters(here)] == ["undecidable"]


def test_nothing_moves_on_until_a_dead_letter_is_written(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    put: Callable[..., None] = DeadLetters.put
    tried = 0

    def fail_twice(self: DeadLetters, refused: Any) -> None:
        nonlocal tried
        if refused:
            tried += 1
            if tried < 3:
                raise KafkaTimeoutError("brokers are away")
        put(self, refused)

    monkeypatch.setattr(DeadLetters, "put", fail_twice)
    here.send([alert(0), b"poison", alert(1)])
    with closing(here.consumer()) as consumer:
        for _ in range(2):
            with pytest.raises(KafkaTimeoutError):
                turn_until([consumer], lambda: False, "the failure")
            assert here.offsets() == {("wazuh", 0): None}
            assert here.events() == []
        turn_until([consumer], lambda: here.offsets() == {("wazuh", 0): 3}, "all of them")

    assert here.check_sums().received == titles({0, 1})
    assert len(letters(here)) == 1


def test_a_dead_letter_too_large_for_its_topic_leaves_a_note(here: Installation) -> None:
    here.kafka.make_topic(here.kafka.topics.dead_letter, partitions=1, max_message_bytes="2000")
    here.send([os.urandom(9000), alert(1)])

    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets() == {("wazuh", 0): 2}, "both")

    (note,) = letters(here)
    assert (note.reason, note.topic, note.offset) == ("malformed", here.kafka.topics.alerts("wazuh"), 0)
    assert not note.has_content


def test_dead_letters_are_replayed_once_to_where_they_came_from(here: Installation) -> None:
    """After the dialect was mended, say: they go in as if they had come now."""
    here.send([alert(1)], topic="edge", headers=[("tocsin-dialect", b"wazhu")])
    here.send([b"hopeless"], topic="edge")
    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets() == {("edge", 0): 2}, "both")
        assert [one.reason for one in letters(here)] == ["no-dialect", "no-dialect"]

        assert replay(here.kafka) == (2, 0)
        assert replay(here.kafka) == (0, 0)
        turn_until([consumer], lambda: here.offsets() == {("edge", 0): 4}, "both again")

    assert len(letters(here)) == 4  # neither was mended
    assert replay(here.kafka, dialect="wazuh") == (2, 0)
    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets() == {("edge", 0): 6}, "both once more")
    assert here.check_sums().received == titles({1})
    assert letters(here)[-1].value == b"hopeless"


def test_people_see_and_replay_them_from_the_command_line(
    here: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here.send([b"<" + PHONE.encode()], topic="wazuh")
    here.send([alert(1)], topic="edge", headers=[("tocsin-dialect", b"unheard-of")])
    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets() == {("wazuh", 0): 1, ("edge", 0): 1}, "both")
    for name, value in {
        "DATABASE_URL": here.settings.database_url,
        "KAFKA__BOOTSTRAP_SERVERS": ",".join(here.settings.kafka.bootstrap_servers),
        "KAFKA__TOPIC_PREFIX": here.settings.kafka.topic_prefix,
        "KAFKA__GROUP_PREFIX": here.settings.kafka.group_prefix,
    }.items():
        monkeypatch.setenv(f"TOCSIN_{name}", value)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["alert", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    listed = run("dead-letters")
    assert {(one["reason"], one["topic"].rpartition(".")[2]) for one in listed} == {
        ("malformed", "wazuh"),
        ("no-dialect", "edge"),
    }
    assert PHONE not in json.dumps(listed)
    (malformed,) = (one["number"] for one in listed if one["reason"] == "malformed")
    run("dead-letters", "--after", str(malformed - 1), "--save", "letter")
    assert (tmp_path / "letter").read_bytes() == b"<" + PHONE.encode()
    assert (tmp_path / "letter").stat().st_mode & 0o077 == 0
    assert {one["next_offset"] for one in run("offsets")} == {1}
    assert run("replay", "--dialect", "wazuh") == {"replayed": 2, "left_out": 0}
    assert run("replay") == {"replayed": 0, "left_out": 0}

    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets() == {("wazuh", 0): 2, ("edge", 0): 2}, "both again")
    assert here.check_sums().received == titles({1})


def test_without_kafka_the_command_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["alert", "dead-letters"])

    assert done.exit_code == 2
    assert "kafka.bootstrap_servers" in done.output


def test_letters_of_a_topic_that_is_gone_hold_up_no_others(here: Installation) -> None:
    here.send([b"hopeless"], topic="edge")
    here.send([b"too"], topic="wazuh")
    with closing(here.consumer()) as consumer:
        turn_until([consumer], lambda: here.offsets() == {("edge", 0): 1, ("wazuh", 0): 1}, "both")
    gone = here.kafka.topics.alerts("edge")
    with closing(here.kafka.admin()) as admin:
        admin.delete_topics([gone])
        wait_for(lambda: True if gone not in admin.list_topics() else None, "the topic to be gone")

    with pytest.raises(NotFound, match=gone):
        replay(here.kafka)
    assert replay(here.kafka, leave_out_gone=True) == (1, 1)
    assert replay(here.kafka) == (0, 0)


def test_a_topic_of_dead_letters_that_was_deleted_is_made_again(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "SEND_SECONDS", 3.0)
    topic = here.kafka.topics.dead_letter
    with closing(here.consumer()) as consumer:
        here.send([b"first"])
        turn_until([consumer], lambda: here.offsets() == {("wazuh", 0): 1}, "the first")
        with closing(here.kafka.admin()) as admin:
            admin.delete_topics([topic])
            wait_for(lambda: True if topic not in admin.list_topics() else None, "the topic to be gone")
        here.send([b"second"])
        with pytest.raises(KafkaError):
            turn_until([consumer], lambda: False, "the failure")
        turn_until([consumer], lambda: here.offsets() == {("wazuh", 0): 2}, "the second")

    assert [one.value for one in letters(here)] == [b"second"]
