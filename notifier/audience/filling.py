"""Filling an audience from a file: batches of rows, each one transaction that says how far it is.

A batch holds everything that belongs to its rows: sealed contacts, recipients, marks, reports and the count of rows. So
a process may be killed at any row: the next attempt at the same import reads past what is in, checks that it is the
same file, and goes on behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, bindparam, insert, select, update

from incidents.clock import Clock
from incidents.errors import Conflict
from incidents.record.bulk import BulkInsert
from incidents.record.database import writing
from notifier.audience.folding import Fold, Folding, Member
from notifier.audience.frozen import Freezer
from notifier.audience.ids import ids_side_by_side
from notifier.audience.reach import Group, as_kept, read_kept
from notifier.audience.records import Record
from notifier.audience.row import Person, RowChecker, RowFault
from notifier.audience.tables import audience_members, audience_row_reports, audiences
from notifier.vault import Contact, ErasedContact, Vault
from notifier.vault.marks import PURPOSE as MARKS

BATCH = 2000
"""Rows to a transaction."""

_INSERT_MEMBERS = BulkInsert(
    audience_members,
    (
        "audience_id",
        "position",
        "recipient_id",
        "language",
        "country",
        "has_sms",
        "has_email",
        "has_im",
        "has_post",
        "leaf",
    ),
)

_COUNTERS = ("by_language", "by_channel", "by_country")

Progress = Callable[[int], None]
"""Told the number of rows that are in, after every batch."""


class OtherFile(Conflict):
    """What an import was begun with stands elsewhere in this file, or nowhere."""


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt at an import. The token tells it from another attempt at the same audience."""

    audience_id: UUID
    token: UUID
    accept_valid: bool

    def still_ours(self, connection: Connection) -> None:
        """Conflict when another attempt has begun since."""
        found = connection.execute(
            select(audiences.c.token).where(audiences.c.audience_id == self.audience_id).with_for_update()
        ).scalar()
        if found != self.token:
            raise Conflict("The same import was begun again elsewhere. Ask for its result by the same command.")


@dataclass(slots=True)
class Tally:
    """How far an import is."""

    rows: int = 0
    recipients: int = 0
    folded: int = 0
    faulty: int = 0
    read_digest: str = ""
    by_language: Counter[str] = field(default_factory=Counter)
    by_channel: Counter[str] = field(default_factory=Counter)
    by_country: Counter[str] = field(default_factory=Counter)
    reach: Counter[Group] = field(default_factory=Counter)
    faults: list[RowFault] = field(default_factory=list)

    @classmethod
    def of_row(cls, row: Any) -> Tally:
        """As the database has it."""
        counts = {name: Counter(getattr(row, name)) for name in _COUNTERS}
        return cls(
            row.rows,
            row.recipients,
            row.folded,
            row.faulty,
            row.read_digest,
            **counts,
            reach=Counter(read_kept(row.reach)),
            faults=[RowFault.model_validate(fault) for fault in row.faults],
        )

    def values(self) -> dict[str, Any]:
        """As the database keeps it."""
        return {
            "rows": self.rows,
            "recipients": self.recipients,
            "folded": self.folded,
            "faulty": self.faulty,
            "read_digest": self.read_digest,
            **{name: dict(sorted(getattr(self, name).items())) for name in _COUNTERS},
            "reach": as_kept(self.reach),
            "faults": [fault.model_dump() for fault in self.faults],
        }


@dataclass(slots=True)
class _Batch:
    """What one batch of rows changes."""

    people: dict[int, tuple[Member, Person]] = field(default_factory=dict)
    """New recipients by position."""
    gains: dict[int, Person] = field(default_factory=dict)
    """What recipients of earlier batches gain, by position."""
    reports: list[dict[str, Any]] = field(default_factory=list)

    def report(self, job: Job, kind: str, row: int, name: str, reason: str) -> None:
        self.reports.append({"audience_id": job.audience_id, "row": row, "field": name, "kind": kind, "reason": reason})


class Filling:
    """Takes the records of one file into one audience."""

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        clock: Clock,
        checker: RowChecker,
        *,
        max_faults: int,
        job: Job,
        tally: Tally,
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._clock = clock
        self._checker = checker
        self._max_faults = max_faults
        self._job = job
        self._tally = tally
        self._folding_key = vault.keys.derive(MARKS)
        self._freezer = Freezer(vault.keys)
        self._reading = blake2b(key=vault.keys.derive("audience-reading"), digest_size=32)

    def run(self, records: Iterator[Record], progress: Progress) -> Tally:
        """Take in whatever is not in yet. OtherFile when the rows that are in are not those of this file."""
        self._pass_over(records)
        batch: list[Record] = []
        for record in records:
            self._note(record)
            batch.append(record)
            if len(batch) >= BATCH:
                self._take(batch)
                progress(self._tally.rows)
                batch.clear()
        if batch:
            self._take(batch)
            progress(self._tally.rows)
        return self._tally

    def _pass_over(self, records: Iterator[Record]) -> None:
        done = self._tally.rows
        for _ in range(done):
            record = next(records, None)
            if record is None:
                break
            self._note(record)
        if done and self._reading.hexdigest() != self._tally.read_digest:
            raise OtherFile("The import was begun with another file.", field="file")

    def _note(self, record: Record) -> None:
        said = record.broken or "\x1f".join(record.cells.values())
        self._reading.update(f"{record.row}\x1f{said}\x1e".encode("utf-8", "surrogatepass"))

    def _take(self, records: Sequence[Record]) -> None:
        batch, tally, people = _Batch(), self._tally, list[tuple[int, Person]]()
        for record in records:
            tally.rows += 1
            checked = self._check(record)
            if isinstance(checked, Person):
                people.append((record.row, checked))
                continue
            tally.faulty += 1
            tally.faults += checked[: self._max_faults - len(tally.faults)]
            for name, reason in {fault.field: fault.reason for fault in checked}.items():
                batch.report(self._job, "rejected", record.row, name, reason)
        tally.read_digest = self._reading.copy().hexdigest()
        refused = tally.faulty and not self._job.accept_valid  # nothing will be imported: only look for more faults
        with writing(self._engine) as connection:
            self._job.still_ours(connection)
            if not refused:
                self._fold(people, batch, connection)
                self._save(batch, connection)
            if batch.reports:
                connection.execute(insert(audience_row_reports), batch.reports)
            connection.execute(
                update(audiences)
                .where(audiences.c.audience_id == self._job.audience_id)
                .values(imported_at=self._clock.now(), **tally.values())
            )

    def _check(self, record: Record) -> Person | list[RowFault]:
        if record.broken is not None:
            return [RowFault(row=record.row, field="row", reason=record.broken)]
        return self._checker.check(record.row, record.cells)

    def _fold(self, people: Sequence[tuple[int, Person]], batch: _Batch, connection: Connection) -> None:
        tally = self._tally
        folding = Folding(self._folding_key, self._job.audience_id, tally.recipients)
        marks = folding.prepare([person for _, person in people], connection)
        ids = iter(ids_side_by_side(len(people), self._clock.now()))
        for (row, person), of_person in zip(people, marks, strict=True):
            found = folding.take(row, person, of_person)
            if isinstance(found, Fold):
                tally.folded += 1
                self._merge(row, found, person, batch)
                continue
            member = Member(
                found.position,
                next(ids),
                person.language,
                person.country,
                has_sms=bool(person.phone),
                has_email=bool(person.email),
                has_im=bool(person.im),
                has_post=bool(person.postal),
            )
            batch.people[found.position] = (member, person)
            tally.by_language[member.language] += 1
            tally.by_country[member.country] += 1
            channels = member.channels
            tally.by_channel.update(channels)
            tally.reach[Group(member.country, member.language, channels)] += 1
        tally.recipients = folding.admitted
        folding.save(connection)

    def _regroup(self, country: str, language: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """Somebody who is in gained an address."""
        self._tally.reach[Group(country, language, before)] -= 1
        self._tally.reach[Group(country, language, after)] += 1

    def _merge(self, row: int, found: Fold, person: Person, batch: _Batch) -> None:
        """The row repeats somebody: keep one recipient, who gains the contact the earlier row lacked."""
        position = found.seen.position
        gained = f", and adds the {'email' if found.field == 'phone' else 'phone'}" if found.gains else ""
        batch.report(self._job, "folded", row, found.field, f"repeats row {found.seen.row}{gained}")
        if not (found.gains or person.im or person.postal):
            return
        if position in batch.people:
            member, earlier = batch.people[position]
            joined = _joined(earlier, person)
            grown = member._replace(
                has_sms=bool(joined.phone),
                has_email=bool(joined.email),
                has_im=bool(joined.im),
                has_post=bool(joined.postal),
            )
            batch.people[position] = (grown, joined)
            self._regroup(member.country, member.language, member.channels, grown.channels)
        else:
            earlier_gain = batch.gains.get(position)
            batch.gains[position] = person if earlier_gain is None else _joined(earlier_gain, person)
            if not found.gains:
                return
            member, grown = self._grown(found)
        self._tally.by_channel.update(set(grown.channels) - set(member.channels))

    def _grown(self, found: Fold) -> tuple[Member, Member]:
        """A recipient of an earlier batch, before and after; only the channels count."""
        has = (found.field == "phone", found.field == "email")
        before = Member(found.seen.position, UUID(int=0), "", "", *has)
        return before, before._replace(has_sms=True, has_email=True)

    def _save(self, batch: _Batch, connection: Connection) -> None:
        contacts = {member.recipient_id: _contact(person) for member, person in batch.people.values()}
        if contacts:
            self._vault.put(contacts, connection)
            _INSERT_MEMBERS(
                connection,
                [
                    (
                        self._job.audience_id,
                        member.position,
                        member.recipient_id,
                        member.language,
                        member.country,
                        member.has_sms,
                        member.has_email,
                        member.has_im,
                        member.has_post,
                        self._leaf(member, contacts[member.recipient_id]),
                    )
                    for member, _ in batch.people.values()
                ],
            )
        if batch.gains:
            self._save_gains(batch.gains, connection)

    def _save_gains(self, gains: dict[int, Person], connection: Connection) -> None:
        table, changes = audience_members, list[dict[str, Any]]()
        positions = sorted(gains)
        rows = [
            row
            for start in range(0, len(positions), 500)
            for row in connection.execute(
                select(table).where(
                    table.c.audience_id == self._job.audience_id, table.c.position.in_(positions[start : start + 500])
                )
            )
        ]
        before = self._vault.read_many([row.recipient_id for row in rows], connection)
        for row in rows:
            old, gain = before[row.recipient_id], gains[row.position]
            contact = Contact(
                name=old.name,
                phone=old.phone or gain.phone,
                email=old.email or gain.email,
                im=old.im or gain.im,
                postal=old.postal or gain.postal,
            )
            self._vault.replace(row.recipient_id, contact, connection)
            self._regroup(row.country, row.language, _channels(old), _channels(contact))
            self._tally.by_channel.update(
                name
                for name, value, had in (("im", contact.im, old.im), ("letter", contact.postal, old.postal))
                if value and not had
            )
            leaf = self._freezer.leaf(row.recipient_id, contact, row.language, row.country)
            has = {"sms": contact.phone, "mail": contact.email, "chat": contact.im, "post": contact.postal}
            changes.append({"at": row.position, "hash": leaf, **{name: bool(value) for name, value in has.items()}})
        connection.execute(
            update(table)
            .where(table.c.audience_id == self._job.audience_id, table.c.position == bindparam("at"))
            .values(
                has_sms=bindparam("sms"),
                has_email=bindparam("mail"),
                has_im=bindparam("chat"),
                has_post=bindparam("post"),
                leaf=bindparam("hash"),
            ),
            changes,
        )

    def _leaf(self, member: Member, contact: Contact) -> bytes:
        return self._freezer.leaf(member.recipient_id, contact, member.language, member.country)


def _channels(contact: Contact | ErasedContact) -> tuple[str, ...]:
    has = bool(contact.phone), bool(contact.email), bool(contact.im), bool(contact.postal)
    return Member(0, UUID(int=0), "", "", *has).channels


def _contact(person: Person) -> Contact:
    # Every field was checked: building it without asking again is a tenth of an import's time.
    return Contact.model_construct(
        name=person.name, phone=person.phone, email=person.email, im=person.im, postal=person.postal
    )


def _joined(earlier: Person, later: Person) -> Person:
    return replace(
        earlier,
        phone=earlier.phone or later.phone,
        email=earlier.email or later.email,
        im=earlier.im or later.im,
        postal=earlier.postal or later.postal,
    )
