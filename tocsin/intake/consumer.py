"""The consumer: polls, takes batches in, puts forward how far it has read. All that must last is in the database.

Kafka's part is to say which consumer reads which partitions. Where reading goes on is asked of the database each time a
partition is assigned, and what a batch does is saved together with the new offsets, under a claim that ends when
somebody else takes the partition over. So whatever is killed, stopped or repeated, each alert has its effect once.
"""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import MemberState
from opentelemetry.trace import Link, SpanKind
from sqlalchemy import Engine

from incidents.alerts.batch import BatchIntake, PreparedAlert, Spoilt
from incidents.alerts.decision import Receipt
from incidents.alerts.traces import trace_receipts
from incidents.clock import Clock
from incidents.errors import Conflict, TocsinError
from incidents.record import Record
from incidents.record.transaction import transaction
from incidents.tracing import link_to, span
from tocsin.intake.dead_letters import DeadLetters, Refused
from tocsin.intake.messages import Message, Reader, Reason, Refusal, traceparent_in
from tocsin.intake.offsets import Claim, Offsets, Partition, TakenOver
from tocsin.intake.unreadable import Unreadable
from tocsin.kafka import Kafka, place_in_hand, topic_id_of
from tocsin.observability.metrics import Metrics

log = structlog.get_logger(__name__)

ROLE = "intake"
WORKER = "alert-consumer"
"""The name of the worker that runs a consumer."""
POLL_MS = 500
"""How long to wait for messages; so long a stop may take."""
ATTEMPTS = 8
"""How often a batch is tried again at once when other writers were faster."""
GIVE_UP_AFTER = 5
"""Turns in which one message alone could not be saved, until it is put aside so that the others go on."""
CLAIM_AGAIN_SECONDS = 5.0
"""After a partition was found taken over although Kafka says it is ours: the other one is to notice by then."""
LOOK_SECONDS = 10.0
"""Between two measurements of what is left to read, which also shows whether the brokers answer."""
TELL_SECONDS = 5.0
"""Between two notes to Kafka of how far we are."""
STUCK_SECONDS = 45.0
"""How long joining the group may take."""
ANSWER_MS = 5_000
FETCH_BYTES = 16 * 1_048_576
"""Of one answer of a broker; of messages that wait in memory there are a few of these."""
PARTITION_BYTES = 4 * 1_048_576


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that is to be taken in, read already."""

    claim: Claim
    message: Message
    read: PreparedAlert | Refusal


class AlertConsumer:
    """One member of the group. All methods but `wake` are for one thread."""

    def __init__(
        self,
        kafka: Kafka,
        *,
        record: Record,
        engine: Engine,
        clock: Clock,
        intake: BatchIntake,
        reader: Reader,
        offsets: Offsets,
        dead_letters: DeadLetters,
        metrics: Metrics,
        batch: int,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka = kafka
        self._record = record
        self._engine = engine
        self._clock = clock
        self._intake = intake
        self._reader = reader
        self._offsets = offsets
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._batch = batch
        self._uptime = uptime
        self._consumer: KafkaConsumer | None = None
        self._lock = threading.Lock()
        self._claims: dict[Partition, Claim] = {}
        self._not_before: dict[Partition, float] = {}
        self._put_aside: set[tuple[Partition, int]] = set()
        """Dead letters that are written already, of messages whose batch could not be saved yet."""
        self._failed_at: dict[tuple[Partition, int], int] = {}
        """Turns that failed at one message alone."""
        self._unreadable = Unreadable()
        self._untold: dict[Partition, int] = {}
        self._next_look = self._next_tell = self._member_at = 0.0

    def turn(self) -> int:
        """Wait for messages for a moment, and take in what came. Returns how many messages that were.

        KafkaError when the brokers do not answer, the database's errors when it does not: nothing is lost then, the
        same messages come again.
        """
        consumer = self._consumer or self._open()
        before = dict(self._claims)
        try:
            polled = consumer.poll(timeout_ms=POLL_MS, max_records=self._batch)
        except Exception as error:
            if self._failed_in_the_middle(consumer, error):
                return 0
            raise
        try:
            self._claim_assigned(consumer)
            with _all_at_once():
                taken = self._take_in(polled, before)
        except BaseException:
            self._rewind(consumer, polled)
            raise
        self._look(consumer)
        self._tell(consumer)
        self._check_membership(consumer)
        return taken

    def _take_in(self, polled: Mapping[TopicPartition, Sequence[Message]], before: Mapping[Partition, Claim]) -> int:
        """Read what was polled and take it in. Returns how many messages that were; nothing else of them is left."""
        arrived = self._arrived(polled, before)
        if arrived:
            self._take(arrived)
        return len(arrived)

    def fault(self) -> str | None:
        """What keeps it from reading some of its partitions; None when it reads them all."""
        consumer = self._consumer
        return self._unreadable.told(None if consumer is None else _partitions(consumer.assignment()))

    def _failed_in_the_middle(self, consumer: KafkaConsumer, error: Exception) -> bool:
        """A poll failed: begin anew where that is needed. Whether it is one partition's fault that the others may not
        suffer from."""
        place = place_in_hand(consumer)
        if place is None:
            return False
        at, topic_id = consumer.position(place) or 0, topic_id_of(consumer, place.topic)
        of_its_own = self._unreadable.failed(Partition(*place), at, topic_id, error)
        if of_its_own:
            self._metrics.worker_faults.labels(WORKER).inc()
        self.close()
        return of_its_own

    def _check_membership(self, consumer: KafkaConsumer) -> None:
        """A member that does not get into its group begins anew. (A coordinator that just came up may forget a request
        to join, which kafka-python would wait for as long as the longest batch may take.)"""
        now = self._uptime()
        if consumer.group_metadata().state == MemberState.STABLE:
            self._member_at = now
        elif now - self._member_at > STUCK_SECONDS:
            log.warning("alerts.group-not-joined", group=self._kafka.group(ROLE), seconds=round(now - self._member_at))
            self.close()

    def hold(self, seconds: float, stop: threading.Event) -> None:
        """Take nothing for a while, but stay a member of the group."""
        consumer, until = self._consumer, self._uptime() + seconds
        if consumer is None:
            stop.wait(seconds)
            return
        try:
            while not stop.is_set() and self._uptime() < until:
                consumer.pause(*consumer.assignment())
                # What it may bring of partitions that are assigned only now comes again: they are not claimed yet.
                consumer.poll(timeout_ms=200, max_records=1)
            consumer.resume(*(set(consumer.assignment()) - self._left_out(consumer)))
        except KafkaError as error:
            log.info("alerts.brokers-away", reason=type(error).__name__)
            stop.wait(max(0.0, until - self._uptime()))

    def close(self) -> None:
        """Leave the group, so that others get the partitions at once."""
        self._dead_letters.close()
        consumer, self._consumer = self._consumer, None
        self._forget(tuple(self._claims))
        if consumer is None:
            return
        try:
            if self._untold:
                consumer.commit(_told(self._untold), timeout_ms=2_000)
        except KafkaError as error:
            log.info("alerts.offsets-not-told", reason=type(error).__name__)
        self._untold.clear()
        with suppress(KafkaError):  # it is over either way; the group gives us up by itself
            consumer.close(autocommit=False, timeout_ms=ANSWER_MS)

    def _open(self) -> KafkaConsumer:
        consumer = self._kafka.consumer(
            ROLE, max_poll_records=self._batch, fetch_max_bytes=FETCH_BYTES, max_partition_fetch_bytes=PARTITION_BYTES
        )
        listener = _Listener(self._forget, lambda: consumer.pause(*self._left_out(consumer)))
        consumer.subscribe(pattern=self._kafka.topics.alerts_pattern, listener=listener)
        self._consumer, self._member_at = consumer, self._uptime()
        log.info("alerts.consumer-started", group=self._kafka.group(ROLE), pattern=self._kafka.topics.alerts_pattern)
        return consumer

    # Claims

    def _forget(self, partitions: Collection[Partition]) -> None:
        """These are not ours any more. (Called by kafka-python's own thread too.)"""
        with self._lock:
            for partition in partitions:
                self._claims.pop(Partition(*partition), None)

    def _left_out(self, consumer: KafkaConsumer) -> set[TopicPartition]:
        """What is assigned to us and cannot be read."""
        return {*map(_place, self._unreadable.among(_partitions(consumer.assignment())))}

    def _claim_assigned(self, consumer: KafkaConsumer) -> None:
        """Take over what Kafka assigned to us, and read on where the database says."""
        now = self._uptime()
        assigned = _partitions(consumer.assignment())
        assigned -= self._unreadable.among(assigned).keys()
        new = [
            place for place in sorted(assigned) if place not in self._claims and self._not_before.get(place, now) <= now
        ]
        if not new:
            return
        begins = consumer.beginning_offsets([_place(one) for one in new], timeout_ms=ANSWER_MS)
        ends = consumer.end_offsets([_place(one) for one in new], timeout_ms=ANSWER_MS)
        for partition in new:
            claim = self._offsets.claim(partition, topic_id_of(consumer, partition.topic))
            place = _place(partition)
            start = self._start(claim, begins[place], ends[place])
            with suppress(ValueError):  # no longer assigned: it was taken from us meanwhile
                consumer.seek(place, start)
                consumer.resume(place)
                with self._lock:
                    self._claims[partition] = replace(claim, next_offset=start)
                    self._not_before.pop(partition, None)
                log.info("alerts.partition-claimed", **partition._asdict(), offset=start, epoch=claim.epoch)

    def _start(self, claim: Claim, begin: int, end: int) -> int:
        wanted, where = claim.next_offset, claim.partition._asdict()
        if wanted is None:
            return begin
        if wanted < begin:
            log.error("alerts.gone-unread", **where, offset=wanted, messages=begin - wanted)
            return begin
        if wanted > end:
            # The topic lost messages that we have. What came since may lie at places we think we have read.
            log.warning("alerts.topic-is-shorter", **where, offset=wanted, end=end)
            return begin
        return wanted

    def _rewind(self, consumer: KafkaConsumer, polled: Mapping[TopicPartition, Any]) -> None:
        """What was polled was not taken in: let it come again."""
        for place in polled:
            claim = self._claims.get(Partition(*place))
            if claim is not None and claim.next_offset is not None:
                with suppress(ValueError):  # no longer assigned
                    consumer.seek(place, claim.next_offset)

    # Batches

    def _arrived(
        self, polled: Mapping[TopicPartition, Sequence[Message]], before: Mapping[Partition, Claim]
    ) -> list[Arrived]:
        """Messages of partitions that were claimed before they were fetched, read."""
        found: list[Arrived] = []
        for place in sorted(polled):
            partition = Partition(*place)
            claim = self._claims.get(partition)
            if claim is None or before.get(partition) is not claim:
                continue
            if self._consumer is not None and topic_id_of(self._consumer, partition.topic) != claim.topic_id:
                log.warning("alerts.topic-made-anew", **partition._asdict())
                self._forget([partition])
                continue
            found += [Arrived(claim, message, self._reader.read(message)) for message in polled[place]]
        return found

    def _take(self, arrived: list[Arrived]) -> None:
        """Put aside what is no alert, and take the rest in, all of it together."""
        tries = 0
        while arrived:
            self._put_aside_refused(arrived)
            try:
                self._save(arrived)
                return
            except TakenOver as lost:
                log.warning("alerts.partition-lost", **lost.partition._asdict())
                self._not_before[lost.partition] = self._uptime() + CLAIM_AGAIN_SECONDS
                self._forget([lost.partition])
                if self._consumer is not None and _place(lost.partition) in self._consumer.assignment():
                    self._consumer.pause(_place(lost.partition))
                arrived = [one for one in arrived if one.claim.partition != lost.partition]
            except _SpoiltBy as spoilt:
                refusal = spoilt.refuse()
                arrived = [replace(one, read=refusal) if one is spoilt.by else one for one in arrived]
            except TocsinError as error:
                tries += 1
                if tries < ATTEMPTS and isinstance(error, Conflict):
                    continue
                if len(arrived) == 1:
                    arrived = [self._given_up(arrived[0], error)]
                    continue
                # It is one of them, or others write too much at the same time: either is less likely to meet a part.
                middle = len(arrived) // 2
                self._take(arrived[:middle])
                self._take(arrived[middle:])
                return

    def _given_up(self, one: Arrived, error: TocsinError) -> Arrived:
        """The same, to be put aside, when it alone failed again and again; else the error."""
        place = (one.claim.partition, one.message.offset)
        self._failed_at[place] = self._failed_at.get(place, 0) + 1
        if self._failed_at[place] < GIVE_UP_AFTER:
            raise error
        log.error("alert.undecidable", **one.claim.partition._asdict(), offset=one.message.offset, reason=error.detail)
        return replace(one, read=Refusal(Reason.UNDECIDABLE, error.detail))

    def _put_aside_refused(self, arrived: Sequence[Arrived]) -> None:
        new = {
            (one.claim.partition, one.message.offset): Refused(one.message, one.read)
            for one in arrived
            if isinstance(one.read, Refusal)
        }
        new = {place: refused for place, refused in new.items() if place not in self._put_aside}
        self._dead_letters.put(list(new.values()))
        self._put_aside |= new.keys()
        for refused in new.values():
            refusal = refused.refusal
            log.warning(
                "alert.dead-letter",
                topic=refused.message.topic,
                partition=refused.message.partition,
                offset=refused.message.offset,
                reason=refusal.reason.value,
                detail=refusal.detail,
            )
            self._metrics.dead_letters.labels(refusal.reason.value).inc()

    def _save(self, arrived: Sequence[Arrived]) -> None:
        """One transaction: alerts, findings, incidents, offsets."""
        alerts = [one for one in arrived if isinstance(one.read, PreparedAlert)]
        ends = {one.claim.partition: (one.claim, one.message.offset + 1) for one in arrived}
        now = self._clock.now()
        contexts = [self._reader.context(one.message, one.claim.topic_id, now) for one in alerts]
        links = {index: found for index, one in enumerate(alerts) if (found := _links(one.message))}
        with span("alert.intake", {"tocsin.messages": len(arrived)}, kind=SpanKind.CONSUMER):
            with transaction(self._record, self._engine) as work:
                moved = [self._offsets.advance(work.connection, *ends[partition]) for partition in sorted(ends)]
                try:
                    receipts = self._intake.take([one.read for one in alerts], contexts, work)  # type: ignore[misc]
                except Spoilt as spoilt:
                    raise _SpoiltBy(alerts[spoilt.index]) from spoilt.__cause__
            trace_receipts(receipts, links)
        self._saved(moved, alerts, receipts, len(arrived))

    def _saved(
        self, moved: Sequence[Claim], alerts: Sequence[Arrived], receipts: Sequence[Receipt], messages: int
    ) -> None:
        with self._lock:
            for claim in moved:
                if claim.partition in self._claims:
                    self._claims[claim.partition] = claim
                self._untold[claim.partition] = claim.next_offset or 0
        done = {claim.partition: claim.next_offset or 0 for claim in moved}
        self._put_aside = {place for place in self._put_aside if place[1] >= done.get(place[0], 0)}
        self._failed_at = {place: n for place, n in self._failed_at.items() if place[1] >= done.get(place[0], 0)}
        outcomes = Counter(receipt.outcome for receipt in receipts)
        by_dialect = Counter(
            (one.read.read.summary.dialect, receipt.outcome)
            for one, receipt in zip(alerts, receipts, strict=True)
            if isinstance(one.read, PreparedAlert)
        )
        for (dialect, outcome), number in by_dialect.items():
            self._metrics.alerts.labels(dialect, outcome).inc(number)
        log.info("alerts.taken-in", messages=messages, partitions=len(moved), **outcomes)

    # What is told and measured

    def _look(self, consumer: KafkaConsumer) -> None:
        """Measure what is left to read. KafkaError when the brokers do not answer."""
        if self._uptime() < self._next_look:
            return
        read_up_to = {claim.partition: claim.next_offset or 0 for claim in self._claims.values()}
        left_out = self._unreadable.among(_partitions(consumer.assignment()))
        read_up_to |= left_out
        ends = consumer.end_offsets([*map(_place, read_up_to)], timeout_ms=ANSWER_MS) if read_up_to else {}
        left = sum(max(0, ends[_place(partition)] - offset) for partition, offset in read_up_to.items())
        self._metrics.intake_lag.set(left)
        self._metrics.intake_left_out.set(len(left_out))
        begins = consumer.beginning_offsets([*map(_place, left_out)], timeout_ms=ANSWER_MS) if left_out else {}
        for place, oldest in begins.items():
            partition, topic_id = Partition(*place), topic_id_of(consumer, place.topic)
            stored = self._offsets.stored(partition, topic_id)
            # What has gone is claimed at the next turn.
            self._unreadable.is_gone(partition, oldest=oldest, topic_id=topic_id, stored=stored)
        self._next_look = self._uptime() + LOOK_SECONDS  # not after a failure: until they answer, no turn is a good one

    def _tell(self, consumer: KafkaConsumer) -> None:
        """Let Kafka know how far we are, for those who look there. Nothing rests on it."""
        if not self._untold or self._uptime() < self._next_tell:
            return
        self._next_tell = self._uptime() + TELL_SECONDS
        untold, self._untold = self._untold, {}
        consumer.commit_async(_told(untold))


@contextmanager
def _all_at_once() -> Iterator[None]:
    """Let the collector of cyclic garbage wait. A batch is a hundred thousand objects that end together when it is
    saved, and looking through them again and again in between is in vain."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class _SpoiltBy(Exception):
    """Deciding failed at one message."""

    def __init__(self, by: Arrived) -> None:
        super().__init__("a message cannot be decided")
        self.by = by

    def refuse(self) -> Refusal:
        """Say in the log what happened, and to others what they may know."""
        cause = self.__cause__
        log.error(
            "alert.undecidable",
            topic=self.by.message.topic,
            partition=self.by.message.partition,
            offset=self.by.message.offset,
            exc_info=cause,
        )
        detail = cause.detail if isinstance(cause, Conflict) else f"Deciding it failed: {type(cause).__name__}."
        return Refusal(Reason.UNDECIDABLE, detail)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # kafka-python has no annotations
    """Hears which partitions are taken from us. What is assigned is claimed by the consumer's own thread."""

    def __init__(self, forget: Callable[[Collection[Partition]], None], leave_out: Callable[[], None]) -> None:
        self._forget = forget
        self._leave_out = leave_out

    def on_partitions_revoked(self, revoked: Collection[Partition]) -> None:
        self._forget(revoked)

    def on_partitions_assigned(self, assigned: Collection[Partition]) -> None:
        self._forget(assigned)
        self._leave_out()

    def on_partitions_lost(self, lost: Collection[Partition]) -> None:
        self._forget(lost)


def _place(partition: Partition) -> TopicPartition:
    return TopicPartition(*partition)


def _partitions(places: Collection[TopicPartition]) -> set[Partition]:
    return {Partition(*place) for place in places}


def _told(offsets: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {_place(partition): OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()}


def _links(message: Message) -> list[Link]:
    return link_to(traceparent_in(message)) if message.headers else []
