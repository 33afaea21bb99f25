"""What cannot be taken in is put aside in a topic of its own, whole, with the reason in its headers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from incidents.clock import Clock
from incidents.errors import NotFound
from tocsin.intake.messages import DIALECT_HEADER, Message, Refusal
from tocsin.kafka import Headers, Kafka, close_producer

log = structlog.get_logger(__name__)

OURS = "tocsin-dead-"
"""How the names of the headers begin that we add."""
KEEP_MS = 30 * 24 * 3600 * 1000
"""How long the topic keeps them, where we make it: they may hold personal data, and are of no use for ever."""
ROOM_FOR_HEADERS = 65_536
SEND_SECONDS = 30.0
ANSWER_MS = 10_000
LAST_SECONDS = 5.0
"""For saying goodbye to the brokers."""
_LONGEST_DETAIL = 1_000


@dataclass(frozen=True, slots=True)
class Refused:
    """A message and why it was refused."""

    message: Message
    refusal: Refusal


class DeadLetters:
    """Writes dead letters. Nothing is opened before there is one."""

    def __init__(self, kafka: Kafka, clock: Clock, *, largest: int) -> None:
        """`largest` is the size of the largest alert that is taken in; larger messages come here too."""
        self._kafka = kafka
        self._clock = clock
        self._largest = largest
        self._producer: KafkaProducer | None = None

    def put(self, refused: Sequence[Refused]) -> None:
        """Write these. KafkaError when not all of them are safe with the brokers: then try again, some may be there
        twice, which does no harm."""
        if not refused:
            return
        try:
            self._put(refused)
        except KafkaError:
            self.close()  # its topic may be gone, which is made again when this is opened again
            raise

    def _put(self, refused: Sequence[Refused]) -> None:
        sent = [(one, self._send(one)) for one in refused]
        too_large = [one for one, future in sent if not _fits(future)]
        for one in too_large:
            # Its connection is of no more use after that error, and others fail along with it: each once more, alone.
            self.close()
            if not _fits(self._send(one)):
                self.close()
                log.warning("dead-letter.without-content", topic=one.message.topic, offset=one.message.offset)
                self._send(one, whole=False).get(timeout=SEND_SECONDS)

    def _send(self, one: Refused, *, whole: bool = True) -> Any:
        """Send it, or only a note that says where it is, for brokers that do not take it whole."""
        headers = self._headers(one)
        if not whole:
            headers.append((f"{OURS}content", b"left out: too large for this topic"))
        value = one.message.value if whole else b""
        return self._open().send(self._kafka.topics.dead_letter, key=one.message.key, value=value, headers=headers)

    def close(self) -> None:
        """Give the connection back."""
        producer, self._producer = self._producer, None
        if producer is not None and (unsent := close_producer(producer, LAST_SECONDS)) is not None:
            log.info("dead-letter.unsent", reason=type(unsent).__name__)

    def _open(self) -> KafkaProducer:
        if self._producer is None:
            topic, largest = self._kafka.topics.dead_letter, self._largest + ROOM_FOR_HEADERS
            try:
                self._kafka.make_topic(topic, partitions=1, retention_ms=str(KEEP_MS), max_message_bytes=str(largest))
            except KafkaError as error:
                # Perhaps we may not make topics, and somebody else has made it; if not, sending says so.
                log.warning("dead-letter.topic-not-made", reason=f"{type(error).__name__}: {error}")
            self._producer = self._kafka.producer(compression_type="gzip")
        return self._producer

    def _headers(self, one: Refused) -> Headers:
        message, refusal = one.message, one.refusal
        faults = "; ".join(f"{fault.field}: {fault.reason}" for fault in refusal.faults)
        ours = {
            "reason": refusal.reason.value,
            "detail": refusal.detail[:_LONGEST_DETAIL],
            "faults": faults[:_LONGEST_DETAIL],
            "dialect": refusal.dialect,
            "topic": message.topic,
            "partition": str(message.partition),
            "offset": str(message.offset),
            "at": self._clock.now().isoformat(),
        }
        theirs = [(name, value) for name, value in message.headers if not name.startswith(OURS)]
        return [*theirs, *((f"{OURS}{name}", value.encode()) for name, value in ours.items() if value)]


def _fits(future: Any) -> bool:
    """Wait until it is written. False when the brokers find it too large; KafkaError for everything else."""
    try:
        future.get(timeout=SEND_SECONDS)
    except (MessageSizeTooLargeError, RecordListTooLargeError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One as it lies in the topic."""

    number: int
    """Its offset there."""
    reason: str
    detail: str
    dialect: str
    topic: str
    """Where it came from."""
    partition: int
    offset: int
    put_aside_at: datetime | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    """Those it came with."""
    has_content: bool


def read_dead_letters(kafka: Kafka, *, after: int = -1, limit: int = 1_000) -> Iterator[DeadLetter]:
    """Those in the topic now, oldest first. KafkaError when no broker answers."""
    consumer = kafka.consumer(None)
    try:
        partitions = consumer.partitions_for_topic(kafka.topics.dead_letter) or ()
        places = [TopicPartition(kafka.topics.dead_letter, number) for number in sorted(partitions)]
        if not places:
            return
        ends = consumer.end_offsets(places)
        begins = consumer.beginning_offsets(places)
        consumer.assign(places)
        left = {place: max(after + 1, begins[place]) for place in places if max(after + 1, begins[place]) < ends[place]}
        for place in places:
            consumer.seek(place, max(after + 1, begins[place]))
        found = 0
        while left and (polled := consumer.poll(timeout_ms=5_000)):
            for place, records in polled.items():
                for record in records:
                    if record.offset < ends[place] and found < limit:
                        found += 1
                        yield _letter(record)
                if records[-1].offset + 1 >= ends[place] or found >= limit:
                    left.pop(place, None)
    finally:
        consumer.close()


class Replayed(NamedTuple):
    """What was replayed."""

    sent: int
    left_out: int
    """Of topics that are gone."""


def replay(kafka: Kafka, *, dialect: str | None = None, leave_out_gone: bool = False, limit: int = 100_000) -> Replayed:
    """Send dead letters that were not replayed yet back to the topics they came from, as of this dialect if one is
    named.

    NotFound names topics that are gone, and nothing is sent; with `leave_out_gone` all but theirs are, which are not
    come back to. How far replaying has come, Kafka keeps for the group `<prefix>.replay`. A failure in between replays
    some again, which has no effect: what was taken in is known.
    """
    keeper, place = kafka.consumer("replay"), TopicPartition(kafka.topics.dead_letter, 0)
    producer = kafka.producer(compression_type="gzip")
    sent, last, left_out = [], -1, 0
    try:
        keeper.assign([place])
        after = (keeper.committed(place, timeout_ms=ANSWER_MS) or 0) - 1
        there = set(keeper.topics())
        gone = {letter.topic for letter in read_dead_letters(kafka, after=after, limit=limit)} - there - {""}
        if gone and not leave_out_gone:
            raise NotFound(
                f"There is no topic {', '.join(sorted(gone))} any more. Make it, or leave out what came from it "
                "(--leave-out-gone)."
            )
        for letter in read_dead_letters(kafka, after=after, limit=limit):
            last = letter.number
            if letter.topic in gone:
                left_out += 1
            elif letter.has_content and letter.topic:
                headers = [(name, value) for name, value in letter.headers if dialect is None or name != DIALECT_HEADER]
                headers += [(DIALECT_HEADER, dialect.encode())] if dialect is not None else []
                sent.append(producer.send(letter.topic, key=letter.key, value=letter.value, headers=headers))
        producer.flush(timeout=SEND_SECONDS)
        for future in sent:
            future.get(timeout=SEND_SECONDS)
        if last >= 0:
            keeper.commit({place: OffsetAndMetadata(last + 1, "", -1)}, timeout_ms=ANSWER_MS)
    finally:
        close_producer(producer, LAST_SECONDS)
        keeper.close(autocommit=False)
    return Replayed(len(sent), left_out)


def _letter(record: Any) -> DeadLetter:
    said = {name: value for name, value in record.headers if name.startswith(OURS)}

    def text(name: str) -> str:
        return (said.get(f"{OURS}{name}") or b"").decode("utf-8", "replace")

    at = text("at")
    return DeadLetter(
        number=record.offset,
        reason=text("reason"),
        detail="; ".join(part for part in (text("detail"), text("faults")) if part),
        dialect=text("dialect"),
        topic=text("topic"),
        partition=int(text("partition") or -1),
        offset=int(text("offset") or -1),
        put_aside_at=datetime.fromisoformat(at) if at else None,
        key=record.key,
        value=record.value,
        headers=[(name, value) for name, value in record.headers if not name.startswith(OURS)],
        has_content=f"{OURS}content" not in said,
    )
