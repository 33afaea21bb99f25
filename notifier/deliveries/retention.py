"""The rows of finished campaigns: written to a file, and taken away when they have been kept long enough.

The record says of every recipient what became of them; the rows say it again, so that sending can go on from them.
Once a campaign is finished they serve three things only: finding a person by the reference in their notice, receipts
that come late, and links to unsubscribe. So they are kept for a time, and then go: on PostgreSQL a large campaign's
partitions are dropped, everything else is deleted piece by piece.

A removal is asked for in the database first, then done, then put on record: a kill on the way leaves one that goes on.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, Row, Table, delete, func, insert, select, text, update

from incidents.clock import Clock
from incidents.errors import Conflict, NotFound
from incidents.privacy import refuse_contacts
from incidents.record import Aggregate, Context, Record, stable_id
from incidents.record.database import reading, writing
from notifier.deliveries.partitions import Partitions, unhurried
from notifier.deliveries.rows_events import DeliveryRowsRemoved
from notifier.deliveries.states import OUTCOMES
from notifier.deliveries.tables import (
    campaign_recipients,
    campaign_rows,
    deliveries,
    delivery_batches,
    delivery_log,
    early_receipts,
    sendings,
)
from notifier.letters.tables import letter_items

log = structlog.get_logger(__name__)

ACTOR = "system:upkeep"
CHUNK = 5_000
"""Rows deleted in one transaction, so that nobody waits long."""
_PAGE = 2_000
_rows = campaign_rows.c


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is of the rows of one campaign. Times are None for what has not happened."""

    campaign_id: UUID
    incident_id: UUID
    recipients: int
    started_at: datetime
    finished_at: datetime | None
    own_partition: bool
    bytes: int | None
    """Size of its own partitions."""
    exported_at: datetime | None
    removed_at: datetime | None
    keeps: str | None
    """Why the rows cannot be removed now; None when they can."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A file of rows."""

    rows: int
    digest: str
    """SHA-256 of the file, in hex."""


class DeliveryRows:
    """What is done with the rows of campaigns after their end."""

    def __init__(
        self,
        engine: Engine,
        record: Record,
        clock: Clock,
        partitions: Partitions,
        *,
        keep: timedelta | None = None,
        export_first: bool = True,
    ) -> None:
        """`keep`: how long after its end a campaign's rows stay; None: until a person removes them. With
        `export_first` they are not removed before they were written to a file."""
        self._engine = engine
        self._record = record
        self._clock = clock
        self._partitions = partitions
        self._keep = keep
        self._export_first = export_first

    def standing(self, limit: int = 200) -> list[Standing]:
        """The campaigns that were started, newest first."""
        own = {one.campaign_id: one.bytes for one in self._partitions.standing()}
        with reading(self._engine) as connection:
            found = connection.execute(
                select(sendings, *(column for column in _rows if column.name != "campaign_id"))
                .outerjoin(campaign_rows, _rows.campaign_id == sendings.c.campaign_id)
                .order_by(sendings.c.started_at.desc())
                .limit(limit)
            ).all()
            return [
                Standing(
                    campaign_id=row.campaign_id,
                    incident_id=row.incident_id,
                    recipients=sum(getattr(row, name) for name in OUTCOMES),
                    started_at=row.started_at,
                    finished_at=row.finished_at,
                    own_partition=row.campaign_id in own,
                    bytes=own.get(row.campaign_id),
                    exported_at=row.exported_at,
                    removed_at=row.removed_at,
                    keeps=self._reason_to_keep(connection, row, exported=row.exported_at is not None),
                )
                for row in found
            ]

    def export(self, campaign_id: UUID, path: Path) -> Exported:
        """Write the rows of a finished campaign to a new file: NDJSON, compressed by gzip, a line for each recipient
        and each delivery. There are ids, references and outcomes in it, no addresses and no names.

        NotFound for a campaign that was never started, Conflict for one that is not finished or has no rows any more.
        """
        sending = self._sending(campaign_id)
        with reading(self._engine) as connection:
            known = _known(connection, campaign_id)
            busy = _unfinished(connection, sending)
        if known is not None and known.removal_asked_at is not None:
            raise Conflict("The rows of this campaign were removed.")
        if busy is not None:
            raise Conflict(f"This campaign cannot be written to a file yet: {busy}.")
        exported = self._write(sending, path)
        self._note(
            campaign_id, exported_at=self._clock.now(), exported_rows=exported.rows, export_digest=exported.digest
        )
        log.info("deliveries.exported", campaign=str(campaign_id), rows=exported.rows, digest=exported.digest)
        return exported

    def remove(self, campaign_id: UUID, *, actor: str, reason: str, without_export: bool = False) -> None:
        """Take the rows of a campaign away, for good. Repeated: no second effect.

        NotFound for a campaign that was never started, Conflict while there is a reason to keep them, InvalidInput when
        the reason, which stays on record, names a contact.
        """
        refuse_contacts(reason, "reason")
        sending = self._sending(campaign_id)
        with reading(self._engine) as connection:
            known = _known(connection, campaign_id)
            if known is not None and known.removed_at is not None:
                return
            if known is None or known.removal_asked_at is None:
                exported = without_export or (known is not None and known.exported_at is not None)
                why = self._reason_to_keep(connection, sending, exported=exported)
                if why is not None:
                    raise Conflict(f"The rows of this campaign stay: {why}.")
        if known is None or known.removal_asked_at is None:
            self._note(
                campaign_id,
                removal_asked_at=self._clock.now(),
                removal_by=actor,
                removal_reason=reason,
                persons=self._count(campaign_recipients, campaign_id),
                attempts=self._count(deliveries, campaign_id),
            )
        self._go_on(campaign_id)

    def look_after(self, goes_on: Callable[[], bool] = lambda: True) -> int:
        """One round of upkeep: clear up after kills, tell the planner of queries what full partitions hold, go on with
        removals, remove what was kept long enough. Returns how much was done."""
        done = self._tried(self._partitions.mend)
        for campaign_id in self._full():
            if goes_on() and self._partitions.analyze(campaign_id):
                self._note(campaign_id, analyzed_at=self._clock.now())
                done += 1
        for campaign_id in self._asked():
            if goes_on():
                done += self._tried(partial(self._go_on, campaign_id))
        for campaign_id in self._kept_long_enough():
            if goes_on():
                why = f"kept for {self._days} days after its end"
                done += self._tried(partial(self.remove, campaign_id, actor=ACTOR, reason=why))
        return done

    def _tried(self, work: Callable[[], int | None]) -> int:
        """What cannot be done while others have the tables is done in the next round."""
        try:
            done = work()
        except Conflict as error:
            log.warning("deliveries.upkeep-waits", reason=error.detail)
            return 0
        return 1 if done is None else done

    def _go_on(self, campaign_id: UUID) -> None:
        """Do what was asked for; whatever of it is done already has no second effect."""
        self._partitions.drop(campaign_id)
        for table in (deliveries, campaign_recipients, delivery_batches, early_receipts, letter_items):
            self._empty(table, campaign_id)
        sending = self._sending(campaign_id)
        with reading(self._engine) as connection:
            asked = connection.execute(select(campaign_rows).where(_rows.campaign_id == campaign_id)).one()
        stream = Aggregate(stable_id("delivery-rows", str(campaign_id)))
        stream.emit(
            DeliveryRowsRemoved,
            Context(actor=asked.removal_by, cause=_cause(asked), recorded_at=self._clock.now()),
            incident_id=sending.incident_id,
            campaign_id=campaign_id,
            persons=asked.persons,
            attempts=asked.attempts,
            export_digest=asked.export_digest,
            reason=asked.removal_reason,
        )
        try:
            self._record.commit(stream)
        except Conflict:
            log.info("deliveries.removal-recorded-before", campaign=str(campaign_id))
        self._note(campaign_id, removed_at=self._clock.now())
        log.warning(
            "deliveries.removed",
            campaign=str(campaign_id),
            persons=asked.persons,
            attempts=asked.attempts,
            by=asked.removal_by,
        )

    def _empty(self, table: Table, campaign_id: UUID) -> None:
        key = list(table.primary_key.columns)[1 if table in (campaign_recipients, letter_items) else 0]
        if table is delivery_batches:
            key = table.c.number
        while True:
            with writing(self._engine) as connection:
                some = select(key).where(table.c.campaign_id == campaign_id).limit(CHUNK)
                gone = connection.execute(
                    delete(table).where(table.c.campaign_id == campaign_id, key.in_(some))
                ).rowcount
            if not gone:
                return

    def _reason_to_keep(self, connection: Connection, row: Row[Any], *, exported: bool) -> str | None:
        known = _known(connection, row.campaign_id)
        if known is not None and known.removed_at is not None:
            return "they are removed already"
        if (busy := _unfinished(connection, row)) is not None:
            return busy
        if self._keep is not None and row.finished_at > self._clock.now() - self._keep:
            return f"they are to be kept for {self._days} days after its end"
        if self._export_first and not exported:
            return "they were not written to a file"
        return None

    @property
    def _days(self) -> int:
        return self._keep.days if self._keep is not None else 0

    def _full(self) -> list[UUID]:
        """Campaigns with partitions of their own in which everybody has a row, and that were not analyzed since."""
        own = [one.campaign_id for one in self._partitions.standing() if one.attached]
        if not own:
            return []
        busy = select(delivery_batches.c.number).where(
            delivery_batches.c.campaign_id == sendings.c.campaign_id, delivery_batches.c.state != "done"
        )
        with reading(self._engine) as connection:
            return list(
                connection.execute(
                    select(sendings.c.campaign_id)
                    .outerjoin(campaign_rows, _rows.campaign_id == sendings.c.campaign_id)
                    .where(
                        sendings.c.campaign_id.in_(own),
                        sendings.c.planned.is_(True),
                        _rows.analyzed_at.is_(None),
                        ~busy.exists(),
                    )
                ).scalars()
            )

    def _asked(self) -> list[UUID]:
        with reading(self._engine) as connection:
            return list(
                connection.execute(
                    select(_rows.campaign_id).where(_rows.removal_asked_at.is_not(None), _rows.removed_at.is_(None))
                ).scalars()
            )

    def _kept_long_enough(self) -> list[UUID]:
        if self._keep is None:
            return []
        with reading(self._engine) as connection:
            old = connection.execute(
                select(sendings)
                .outerjoin(campaign_rows, _rows.campaign_id == sendings.c.campaign_id)
                .where(sendings.c.finished_at <= self._clock.now() - self._keep, _rows.removal_asked_at.is_(None))
                .order_by(sendings.c.finished_at)
            ).all()
            exported = set(
                connection.execute(select(_rows.campaign_id).where(_rows.exported_at.is_not(None))).scalars()
            )
            ready, waiting = list[UUID](), list[str]()
            for row in old:
                why = self._reason_to_keep(connection, row, exported=row.campaign_id in exported)
                ready += [row.campaign_id] if why is None else []
                waiting += [] if why is None else [str(row.campaign_id)]
        if waiting:
            log.warning("deliveries.kept-too-long", campaigns=waiting[:20], of=len(waiting))
        return ready

    def _count(self, table: Table, campaign_id: UUID) -> int:
        with reading(self._engine) as connection, unhurried(connection):
            return int(
                connection.execute(
                    select(func.count()).select_from(table).where(table.c.campaign_id == campaign_id)
                ).scalar_one()
            )

    def _sending(self, campaign_id: UUID) -> Row[Any]:
        with reading(self._engine) as connection:
            found = connection.execute(select(sendings).where(sendings.c.campaign_id == campaign_id)).first()
        if found is None:
            raise NotFound(f"No campaign {campaign_id} was ever started here.", field="campaign")
        return found

    def _note(self, campaign_id: UUID, **values: Any) -> None:
        with writing(self._engine) as connection:
            changed = connection.execute(
                update(campaign_rows).where(_rows.campaign_id == campaign_id).values(**values)
            ).rowcount
            if not changed:
                connection.execute(insert(campaign_rows).values(campaign_id=campaign_id, **values))

    def _write(self, sending: Row[Any], path: Path) -> Exported:
        """A file that is whole or not there: written beside its place, then moved."""
        beside, rows = path.with_name(f"{path.name}.part"), 0
        if path.exists():
            raise Conflict(f"{path} is there already; name another file.")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as file:
                head = {"campaign_id": str(sending.campaign_id), "incident_id": str(sending.incident_id), "format": 1}
                file.write(_line("campaign", head))
                for kind, row in self._all(sending.campaign_id):
                    file.write(_line(kind, row))
                    rows += 1
                file.write(_line("end", {"rows": rows}))
            raw.flush()
            os.fsync(raw.fileno())
        with beside.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        beside.rename(path)
        return Exported(rows, digest)

    def _all(self, campaign_id: UUID) -> Iterator[tuple[str, dict[str, Any]]]:
        """Page by page, by key: what is read in between holds up nobody."""
        for kind, table, key in (
            ("recipient", campaign_recipients, campaign_recipients.c.recipient_id),
            ("delivery", deliveries, deliveries.c.delivery_id),
        ):
            after: UUID | None = None
            while True:
                page = select(table).where(table.c.campaign_id == campaign_id).order_by(key).limit(_PAGE)
                with reading(self._engine) as connection:
                    rows = connection.execute(page if after is None else page.where(key > after)).mappings().all()
                for row in rows:
                    yield kind, {name: value for name, value in row.items() if name not in _OF_SENDING}
                if len(rows) < _PAGE:
                    break
                after = rows[-1][key.name]


_OF_SENDING = frozenset({"campaign_id", "lease_owner", "lease_fence", "lease_until", "unclear_at", "silent_since"})


def _cause(asked: Row[Any]) -> str:
    by = "timer" if asked.removal_by == ACTOR else "command"
    return f"{by}:{stable_id('delivery-rows-removed', str(asked.campaign_id))}"


def _line(kind: str, row: dict[str, Any]) -> bytes:
    return (json.dumps({"kind": kind, **row}, default=_plain, separators=(",", ":")) + "\n").encode()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _known(connection: Connection, campaign_id: UUID) -> Row[Any] | None:
    return connection.execute(select(campaign_rows).where(_rows.campaign_id == campaign_id)).first()


def _unfinished(connection: Connection, sending: Row[Any]) -> str | None:
    """What is still to come of a campaign; None when nothing is."""
    campaign_id = sending.campaign_id
    if sending.finished_at is None:
        return "the campaign is not finished"
    if connection.execute(select(delivery_log.c.seq).where(delivery_log.c.campaign_id == campaign_id).limit(1)).first():
        return "not every move is on record yet"
    waiting = select(deliveries.c.delivery_id).where(
        deliveries.c.campaign_id == campaign_id, text("deliveries.phase <> 'done'")
    )
    if connection.execute(waiting.limit(1)).first():
        return "receipts are still awaited"
    sent = select(deliveries.c.delivery_id).where(
        deliveries.c.campaign_id == campaign_id,
        deliveries.c.recipient_id == letter_items.c.recipient_id,
        deliveries.c.channel == "letter",
    )
    unsent = select(letter_items.c.batch_id).where(letter_items.c.campaign_id == campaign_id, ~sent.exists())
    if connection.execute(unsent.limit(1)).first():
        return "letters are prepared and neither handed over nor given up"
    return None
