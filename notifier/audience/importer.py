"""Importing an audience: rows in, sealed contacts and a list of recipients out.

Rows go in by batches, each its own short transaction, under an audience that is `importing` until all are in; so a
large file never holds the database. An import that a kill cut short is wiped and done again when the command comes
again, or wiped by `discard_unfinished`.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import BinaryIO
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Connection, Engine, Select, delete, insert, select, update

from incidents.clock import Clock
from incidents.errors import Conflict, FieldFault, InvalidInput, NotFound
from incidents.record.database import reading, writing
from incidents.record.event import Context, Instant, Model, stable_id
from notifier.audience.csv_records import ImportLimits, read_records
from notifier.audience.folding import Folding, Member
from notifier.audience.row import Person, RowChecker, RowFault
from notifier.audience.tables import audience_members, audiences
from notifier.vault import Contact, Vault

log = structlog.get_logger(__name__)

BATCH = 500


@dataclass(frozen=True, slots=True)
class _Job:
    """One attempt at an import. The token tells it from another attempt at the same audience."""

    audience_id: UUID
    token: UUID

    def still_ours(self, connection: Connection) -> None:
        """Conflict when another attempt has begun since."""
        found = connection.execute(
            select(audiences.c.token).where(audiences.c.audience_id == self.audience_id).with_for_update()
        ).scalar()
        if found != self.token:
            raise Conflict("The same import was begun again elsewhere. Ask for its result by the same command.")


class Audience(Model):
    """An imported audience, without anything about a single person.

    `rows` read, of which `recipients` are new people, `folded` repeated somebody already in, `faulty` were left out.
    """

    audience_id: UUID
    imported_at: Instant
    actor: str
    rows: int
    recipients: int
    folded: int
    faulty: int
    by_language: dict[str, int]
    by_channel: dict[str, int]
    by_country: dict[str, int]
    digest: str
    faults: tuple[RowFault, ...] = ()


class AudienceRefused(InvalidInput):
    """Rows of the file are faulty and nothing was imported. `faults` lists them; `faulty` counts all bad rows."""

    code = "audience-refused"
    title = "The audience has faulty rows"

    def __init__(self, faults: Sequence[RowFault], faulty: int, rows: int) -> None:
        if rows == 0:
            detail = "The file has a header but no rows. Nothing was imported."
        else:
            detail = (
                f"{faulty} of {rows} rows are faulty. Nothing was imported: correct them, or take the valid rows only."
            )
        super().__init__(
            detail, errors=[FieldFault(f"rows.{fault.row}.{fault.field}", fault.reason) for fault in faults]
        )
        self.faults = tuple(faults)
        self.faulty = faulty
        self.rows = rows


class Audiences:
    """Imports and finds audiences. Synchronous; call it from a thread in an asynchronous program."""

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        clock: Clock,
        checker: RowChecker,
        limits: ImportLimits = ImportLimits(),
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._clock = clock
        self._checker = checker
        self._limits = limits

    def import_csv(self, source: BinaryIO, context: Context, *, accept_valid: bool = False) -> Audience:
        """Import `name,phone,email,language,country` rows from an open binary file.

        The audience's id comes from the command: the same command again gives the same audience and reads nothing.
        Any faulty row refuses the whole file (AudienceRefused) unless `accept_valid`, which takes the good rows and
        keeps the list of faults. InvalidInput for a bad header, TooLarge beyond the limits.
        """
        audience_id = stable_id("audience", context.cause)
        done = self.find(audience_id)
        if done is not None:
            return done
        job = self._begin(audience_id, context)
        try:
            return self._fill(job, source, accept_valid=accept_valid)
        except InvalidInput:
            self._discard(audience_id)
            raise

    def find(self, audience_id: UUID) -> Audience | None:
        """A finished audience, or None."""
        with reading(self._engine) as connection:
            row = connection.execute(
                select(audiences).where(audiences.c.audience_id == audience_id, audiences.c.status == "ready")
            ).first()
        if row is None:
            return None
        fields = {key: value for key, value in row._mapping.items() if key in Audience.model_fields}
        return Audience.model_validate(fields)

    def get(self, audience_id: UUID) -> Audience:
        """A finished audience. NotFound otherwise."""
        found = self.find(audience_id)
        if found is None:
            raise NotFound(f"There is no audience {audience_id}.", field="audience_id")
        return found

    def members(self, audience_id: UUID, *, after: int = 0, limit: int = BATCH) -> list[Member]:
        """A page of recipients in file order, from position `after` + 1."""
        table = audience_members
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(table)
                .where(table.c.audience_id == audience_id, table.c.position > after)
                .order_by(table.c.position)
                .limit(limit)
            ).all()
        return [Member(r.position, r.recipient_id, r.language, r.country, r.has_sms, r.has_email) for r in rows]

    def discard_unfinished(self, older_than: timedelta = timedelta(hours=1)) -> int:
        """Wipe imports that a kill cut short and nobody repeated. Returns how many."""
        with reading(self._engine) as connection:
            left = connection.execute(
                select(audiences.c.audience_id).where(
                    audiences.c.status == "importing",
                    audiences.c.imported_at < self._clock.now() - older_than,
                )
            ).scalars()
            ids = list(left)
        for audience_id in ids:
            self._discard(audience_id)
        return len(ids)

    def _begin(self, audience_id: UUID, context: Context) -> _Job:
        self._discard(audience_id)
        job = _Job(audience_id, uuid4())
        with writing(self._engine) as connection:
            connection.execute(
                insert(audiences).values(
                    audience_id=audience_id,
                    token=job.token,
                    status="importing",
                    imported_at=self._clock.now(),
                    actor=context.actor,
                    cause=context.cause,
                )
            )
        return job

    def _fill(self, job: _Job, source: BinaryIO, *, accept_valid: bool) -> Audience:
        fault_list: list[RowFault] = []
        rows = faulty = 0
        folding = Folding(self._vault.keys.derive("audience-folding"))
        batch: list[tuple[Member, Person]] = []
        for checked in self._checked(source):
            rows += 1
            if isinstance(checked, list):
                faulty += 1
                fault_list += checked[: self._limits.max_faults - len(fault_list)]
                continue
            if faulty and not accept_valid:
                continue  # nothing will be imported: only look for more faults
            known = folding.same_person(checked)
            if known is not None:
                self._merge(job, known, checked, batch, folding)
                continue
            member = folding.admit(checked, uuid4())
            batch.append((member, checked))
            if len(batch) >= BATCH:
                self._save(job, batch)
                batch.clear()
        if (faulty and not accept_valid) or folding.admitted == 0:
            raise AudienceRefused(fault_list, faulty, rows)
        self._save(job, batch)
        return self._finish(job, rows=rows, faulty=faulty, folded=folding.folded, faults=fault_list)

    def _checked(self, source: BinaryIO) -> Iterator[Person | list[RowFault]]:
        for record in read_records(source, self._limits):
            if record.broken is not None:
                yield [RowFault(row=record.row, field="row", reason=record.broken)]
            else:
                yield self._checker.check(record.row, record.cells)

    def _save(self, job: _Job, batch: Sequence[tuple[Member, Person]]) -> None:
        if not batch:
            return
        with writing(self._engine) as connection:
            job.still_ours(connection)
            self._vault.put({member.recipient_id: _contact(person) for member, person in batch}, connection)
            connection.execute(
                insert(audience_members),
                [{"audience_id": job.audience_id, **member.as_row()} for member, _ in batch],
            )

    def _merge(
        self,
        job: _Job,
        known: Member,
        person: Person,
        batch: list[tuple[Member, Person]],
        folding: Folding,
    ) -> None:
        """The row repeats somebody: keep one recipient, who gains the contact the earlier row lacked."""
        merged = folding.fold(known, person)
        if merged == known:
            return
        for index, (member, earlier) in enumerate(batch):
            if member.recipient_id == known.recipient_id:
                batch[index] = (merged, _joined(earlier, person))
                return
        with writing(self._engine) as connection:
            job.still_ours(connection)
            before = self._vault.read_many([known.recipient_id], connection)[known.recipient_id]
            after = Contact(name=before.name, phone=before.phone or person.phone, email=before.email or person.email)
            self._vault.replace(known.recipient_id, after, connection)
            connection.execute(
                update(audience_members)
                .where(audience_members.c.recipient_id == known.recipient_id)
                .values(has_sms=merged.has_sms, has_email=merged.has_email)
            )

    def _finish(self, job: _Job, *, rows: int, faulty: int, folded: int, faults: Sequence[RowFault]) -> Audience:
        languages: Counter[str] = Counter()
        countries: Counter[str] = Counter()
        channels: Counter[str] = Counter()
        marks: list[bytes] = []
        for page in self._pages(job.audience_id):
            contacts = self._vault.read_many(member.recipient_id for member in page)
            for member in page:
                languages[member.language] += 1
                countries[member.country] += 1
                channels.update(member.channels)
                marks.append(self._mark(member, contacts[member.recipient_id]))
        with writing(self._engine) as connection:
            job.still_ours(connection)
            connection.execute(
                update(audiences)
                .where(audiences.c.audience_id == job.audience_id)
                .values(
                    status="ready",
                    rows=rows,
                    recipients=len(marks),
                    folded=folded,
                    faulty=faulty,
                    by_language=dict(sorted(languages.items())),
                    by_channel=dict(sorted(channels.items())),
                    by_country=dict(sorted(countries.items())),
                    digest=self._digest(marks),
                    faults=[fault.model_dump() for fault in faults],
                )
            )
        log.info(
            "audience.imported",
            audience=str(job.audience_id),
            recipients=len(marks),
            folded=folded,
            faulty=faulty,
        )
        return self.get(job.audience_id)

    def _pages(self, audience_id: UUID) -> Iterator[list[Member]]:
        after = 0
        while page := self.members(audience_id, after=after):
            yield page
            after = page[-1].position

    def _mark(self, member: Member, contact: object) -> bytes:
        assert isinstance(contact, Contact)  # noqa: S101 - written by this very import
        text = "\x1f".join(
            (contact.name, contact.phone or "", contact.email or "", member.language, member.country)
        ).encode()
        return hmac.digest(self._vault.keys.derive("audience-digest"), text, sha256)

    def _digest(self, marks: list[bytes]) -> str:
        """One value for exactly these people, contacts and languages, in whatever order they came.

        HMAC-SHA256 over the sorted HMACs of the recipients, under a key derived from the master key: it is put into
        events, and without the key nobody can test a guessed contact against it.
        """
        keys = self._vault.keys
        value = hmac.digest(keys.derive("audience-digest"), b"".join(sorted(marks)), sha256).hex()
        return f"hmac-sha256:{keys.current}:{value}"

    def _discard(self, audience_id: UUID) -> None:
        """Wipe an unfinished audience, batch by batch, the vault's part first."""
        table = audience_members
        while True:
            with writing(self._engine) as connection:
                if connection.execute(_importing(audience_id)).first() is None:
                    return
                ids = list(
                    connection.execute(
                        select(table.c.recipient_id).where(table.c.audience_id == audience_id).limit(BATCH)
                    ).scalars()
                )
                self._vault.forget(ids, connection)
                connection.execute(delete(table).where(table.c.recipient_id.in_(ids)))
                if not ids:
                    connection.execute(delete(audiences).where(audiences.c.audience_id == audience_id))
                    return


def _importing(audience_id: UUID) -> Select[UUID]:
    return select(audiences.c.audience_id).where(
        audiences.c.audience_id == audience_id, audiences.c.status == "importing"
    )


def _contact(person: Person) -> Contact:
    return Contact(name=person.name, phone=person.phone, email=person.email)


def _joined(earlier: Person, later: Person) -> Person:
    return Person(
        earlier.name,
        earlier.phone or later.phone,
        earlier.email or later.email,
        earlier.language,
        earlier.country,
    )
