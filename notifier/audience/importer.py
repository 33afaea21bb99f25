"""Audiences: importing them from files, finding them, and proving that they are what was approved.

An audience is `importing` until every row is in, batch by batch (see `filling`), and `ready` once it is frozen. An
import that was cut short goes on where it stopped when the same command comes again with the same file; what nobody
takes up is wiped after a day.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, BinaryIO
from uuid import UUID, uuid4

import structlog
from sqlalchemy import ColumnElement, Connection, Engine, Select, delete, func, insert, select, update

from incidents.clock import Clock
from incidents.errors import Conflict, FieldFault, InvalidInput, NotFound
from incidents.record.database import reading, writing
from incidents.record.event import Context, Instant, Model, stable_id
from notifier.audience.filling import Filling, Job, OtherFile, Progress, Tally
from notifier.audience.folding import Member
from notifier.audience.frozen import Freezer
from notifier.audience.merkle import Tree
from notifier.audience.reach import Group, read_kept
from notifier.audience.reading import read_records
from notifier.audience.records import AudienceFormat, ImportLimits
from notifier.audience.row import RowChecker, RowFault
from notifier.audience.tables import audience_marks, audience_members, audience_row_reports, audiences
from notifier.vault import Contact, Vault

log = structlog.get_logger(__name__)

PAGE = 500
LEAVES = 10_000
"""Leaves read at once when an audience is frozen."""
UNTOUCHED = timedelta(days=1)
"""After this long without a batch an unfinished import is wiped: it holds contacts that nobody uses."""


class RowReport(Model):
    """A row that made no recipient of its own: `rejected`, or `folded` into an earlier one. `row` counts the header as
    1, as a spreadsheet does; nothing of what stood in it is repeated."""

    row: int
    kind: str
    field: str
    reason: str


Reporting = Callable[[Iterable[RowReport]], None]
"""Takes the report of every row left out, once the file is read: before a refused import is wiped, too."""


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
        """Import `name,phone,email,language,country` rows from an open CSV file; see `import_file`."""
        return self.import_file(source, context, AudienceFormat.CSV, accept_valid=accept_valid)

    def import_file(
        self,
        source: BinaryIO,
        context: Context,
        form: AudienceFormat,
        *,
        accept_valid: bool = False,
        limits: ImportLimits | None = None,
        progress: Progress = lambda _rows: None,
        report: Reporting = lambda _rows: None,
    ) -> Audience:
        """Import an open, seekable binary file.

        The audience's id comes from the command: the same command again gives the same audience and reads nothing, or
        goes on with an import that was cut short. Any faulty row refuses the whole file (AudienceRefused) unless
        `accept_valid`, which takes the good rows and keeps the list of faults. InvalidInput for a file of another
        form, TooLarge beyond the limits.
        """
        audience_id = stable_id("audience", context.cause)
        done = self.find(audience_id)
        if done is not None:
            report(self.row_reports(audience_id))
            return done
        self.discard_unfinished()
        used = limits or self._limits
        job, tally = self._begin(audience_id, context, accept_valid=accept_valid)
        try:
            try:
                self._fill(job, tally, source, form, used, progress)
            except OtherFile:
                log.info("audience.begins-anew", audience=str(audience_id), reason="another file")
                self._discard(audience_id)
                job, tally = self._begin(audience_id, context, accept_valid=accept_valid)
                self._fill(job, tally, source, form, used, progress)
            report(self.row_reports(audience_id))
            if (tally.faulty and not accept_valid) or tally.recipients == 0:
                raise AudienceRefused(tally.faults, tally.faulty, tally.rows)
        except InvalidInput:
            self._discard(audience_id)
            raise
        return self._finish(job, tally)

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

    def members(self, audience_id: UUID, *, after: int = 0, limit: int = PAGE) -> list[Member]:
        """A page of recipients in file order, from position `after` + 1."""
        t = audience_members.c
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(t.position, t.recipient_id, t.language, t.country, t.has_sms, t.has_email, t.has_im, t.has_post)
                .where(t.audience_id == audience_id, t.position > after)
                .order_by(t.position)
                .limit(limit)
            ).all()
        return [Member(*row) for row in rows]

    def row_reports(self, audience_id: UUID, *, after_row: int = 0) -> Iterator[RowReport]:
        """Every row behind `after_row` that was rejected or folded, in the order of the file."""
        table, after = audience_row_reports, (after_row + 1, "")
        columns = (table.c.row, table.c.kind, table.c.field, table.c.reason)
        while True:
            beyond = (table.c.row > after[0]) | ((table.c.row == after[0]) & (table.c.field > after[1]))
            with reading(self._engine) as connection:
                page = connection.execute(
                    select(*columns)
                    .where(table.c.audience_id == audience_id, table.c.row >= after[0], beyond)
                    .order_by(table.c.row, table.c.field)
                    .limit(PAGE)
                ).all()
            if not page:
                return
            yield from (RowReport.model_validate(one._asdict()) for one in page)
            after = (page[-1].row, page[-1].field)

    def reach(self, audience_id: UUID) -> dict[Group, int]:
        """How many recipients are where, read what, and can be reached by what."""
        with reading(self._engine) as connection:
            kept = connection.execute(select(audiences.c.reach, audiences.c.recipients).where(_is(audience_id))).one()
            counted = read_kept(kept.reach)
            if sum(counted.values()) == kept.recipients:
                return counted
            t = audience_members.c  # an audience from before they were counted
            what = (t.country, t.language, t.has_sms, t.has_email, t.has_im, t.has_post)
            rows = connection.execute(
                select(*what, func.count()).where(t.audience_id == audience_id).group_by(*what)
            ).all()
        found: Counter[Group] = Counter()
        for country, language, *has, count in rows:
            found[Group(country, language, Member(0, audience_id, language, country, *has).channels)] += count
        return dict(found)

    def check(self, audience_id: UUID) -> int:
        """Make the digest again from recipients and contacts; returns how many recipients it covers. The hashes of the
        erased stand for them. Conflict when anything differs from what was frozen, InvalidInput for an audience whose
        digest is of the older form."""
        audience = self.get(audience_id)
        freezer, tree = Freezer.of_digest(self._vault.keys, audience.digest), Tree()
        for page in self._leaf_pages(audience_id, PAGE):
            contacts = self._vault.read_many(row.recipient_id for row in page)
            for row in page:
                contact = contacts.get(row.recipient_id)
                leaf = row.leaf
                if isinstance(contact, Contact):
                    leaf = freezer.leaf(row.recipient_id, contact, row.language, row.country)
                tree.add(leaf)
        if tree.size != audience.recipients or freezer.digest(tree.root()) != audience.digest:
            raise Conflict(f"Audience {audience_id} is not what was frozen: its digest differs.", field="audience_id")
        return tree.size

    def discard_unfinished(self, older_than: timedelta = UNTOUCHED) -> int:
        """Wipe imports that a kill cut short and nobody took up again. Returns how many."""
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

    def _begin(self, audience_id: UUID, context: Context, *, accept_valid: bool) -> tuple[Job, Tally]:
        """Begin an import, or take up one that was cut short."""
        job = Job(audience_id, uuid4(), accept_valid)
        with writing(self._engine) as connection:
            row = connection.execute(
                select(audiences).where(audiences.c.audience_id == audience_id).with_for_update()
            ).first()
            if row is not None and row.accept_valid is accept_valid:
                connection.execute(
                    update(audiences).where(audiences.c.audience_id == audience_id).values(token=job.token)
                )
                return job, Tally.of_row(row)
        if row is not None:
            self._discard(audience_id)  # what the other kind of import left out cannot be taken in now
        with writing(self._engine) as connection:
            connection.execute(
                insert(audiences).values(
                    audience_id=audience_id,
                    token=job.token,
                    status="importing",
                    imported_at=self._clock.now(),
                    actor=context.actor,
                    cause=context.cause,
                    accept_valid=accept_valid,
                )
            )
        return job, Tally()

    def _fill(
        self, job: Job, tally: Tally, source: BinaryIO, form: AudienceFormat, limits: ImportLimits, progress: Progress
    ) -> None:
        source.seek(0, io.SEEK_SET)
        filling = Filling(
            self._engine,
            self._vault,
            self._clock,
            self._checker,
            max_faults=limits.max_faults,
            job=job,
            tally=tally,
        )
        filling.run(read_records(source, form, limits), progress)

    def _finish(self, job: Job, tally: Tally) -> Audience:
        tree = Tree()
        for page in self._leaf_pages(job.audience_id, LEAVES):
            for row in page:
                tree.add(row.leaf)
        with writing(self._engine) as connection:
            job.still_ours(connection)
            connection.execute(
                update(audiences)
                .where(audiences.c.audience_id == job.audience_id)
                .values(
                    status="ready",
                    imported_at=self._clock.now(),
                    read_digest="",
                    digest=Freezer(self._vault.keys).digest(tree.root()),
                )
            )
        counts = {"recipients": tally.recipients, "folded": tally.folded, "faulty": tally.faulty}
        log.info("audience.imported", audience=str(job.audience_id), **counts)
        return self.get(job.audience_id)

    def _leaf_pages(self, audience_id: UUID, size: int) -> Iterator[Sequence[Any]]:
        table, after = audience_members, 0
        columns = (table.c.position, table.c.recipient_id, table.c.language, table.c.country, table.c.leaf)
        while True:
            with reading(self._engine) as connection:
                page = connection.execute(
                    select(*columns)
                    .where(table.c.audience_id == audience_id, table.c.position > after)
                    .order_by(table.c.position)
                    .limit(size)
                ).all()
            if not page:
                return
            yield page
            after = page[-1].position

    def _discard(self, audience_id: UUID) -> None:
        """Wipe an unfinished audience, batch by batch, the vault's part first."""
        table = audience_members
        while True:
            with writing(self._engine) as connection:
                if connection.execute(_importing(audience_id)).first() is None:
                    return
                ids = list(
                    connection.execute(
                        select(table.c.recipient_id).where(table.c.audience_id == audience_id).limit(PAGE)
                    ).scalars()
                )
                self._vault.forget(ids, connection)
                connection.execute(delete(table).where(table.c.recipient_id.in_(ids)))
                # Whoever fills it yet must not go on counting from what was there.
                connection.execute(update(audiences).where(_is(audience_id)).values(token=uuid4()))
                if not ids:
                    self._discard_rest(audience_id, connection)
                    return

    def _discard_rest(self, audience_id: UUID, connection: Connection) -> None:
        for table in (audience_marks, audience_row_reports, audiences):
            connection.execute(delete(table).where(table.c.audience_id == audience_id))


def _is(audience_id: UUID) -> ColumnElement[bool]:
    return audiences.c.audience_id == audience_id


def _importing(audience_id: UUID) -> Select[UUID]:
    return select(audiences.c.audience_id).where(_is(audience_id), audiences.c.status == "importing")
