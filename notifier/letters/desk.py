"""The letter desk: batches for those whom nothing else reached, pages and addresses for an authorised person, and what
a person says became of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import CompoundSelect, Connection, Engine, Select, delete, exists, func, insert, select, union_all
from sqlalchemy.exc import IntegrityError

from incidents.errors import Conflict, IllegalTransition, NotFound
from incidents.record import Aggregate, Context, Follower, Model, Record, Recorded, retrying, stable_id
from incidents.record.database import reading, writing
from incidents.record.transaction import transaction
from notifier.audience.tables import audience_members
from notifier.campaigns.campaign import BEGUN, Campaign
from notifier.deliveries.book import DeliveryBook
from notifier.deliveries.moves import delivery_id
from notifier.deliveries.notices import Notices
from notifier.deliveries.states import Next, Phase
from notifier.deliveries.tables import campaign_recipients, sendings
from notifier.letters.batch import LetterBatch
from notifier.letters.events import LetterBatchStated, Part, Stated
from notifier.letters.press import Addressee, Press
from notifier.letters.tables import letter_batches, letter_items
from notifier.letters.typeset import Letter, printable

log = structlog.get_logger(__name__)

MOST = 1_000
"""Letters in one batch."""
NOT_TOLD = ("failed", "suppressed", "ambiguous")
CHANNEL, CODE = "letter", "post"
MOST_LISTED = 100
"""Batches that one look lists at most."""
_i, _b, _p = letter_items.c, letter_batches.c, campaign_recipients.c


class LetterBatchView(Model):
    """One batch of letters."""

    batch_id: UUID
    campaign_id: UUID
    incident_id: UUID
    letters: int
    state: str
    """`made`, `exported`, `printed`, `handed_over` or `given_up`."""
    reference: str
    drill: bool
    in_file: int | None
    """Letters in the file that was exported last: fewer where people were erased, or could not be printed."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A file for a printing house. `left_out`: erased since, or unprintable."""

    name: str
    media: str
    content: bytes = field(repr=False)
    letters: int
    left_out: int


class LetterDesk:
    """The application service. Synchronous."""

    def __init__(
        self,
        engine: Engine,
        record: Record,
        book: DeliveryBook,
        notices: Notices,
        *,
        press: Press,
        drill_press: Press,
        sender: Callable[[], str],
        fonts: Path | None = None,
    ) -> None:
        """`sender` is the line above the address. `fonts`: a folder with fonts besides the system's."""
        self._engine = engine
        self._record = record
        self._book = book
        self._notices = notices
        self._presses: Mapping[bool, Press] = {False: press, True: drill_press}
        self._sender = sender
        self._fonts = fonts

    def make(self, context: Context, campaign_id: UUID) -> LetterBatchView:
        """Put together those of a campaign who were surely not told, or may not have been, have a postal address, and
        are in no batch yet; a thousand at most. IllegalTransition when there is nobody. The id follows from the
        command."""
        batch_id = stable_id("letters", context.cause)
        known = self._record.find(LetterBatch, batch_id)
        if known is not None:
            return _view(known)
        campaign = self._record.load(Campaign, campaign_id)
        batch = LetterBatch(batch_id)
        try:
            # The people and the event together: whoever is in a batch that nobody knows of is never written to.
            with transaction(self._record, self._engine) as work:
                people = self._take(work.connection, batch_id, campaign_id)
                if not people:
                    raise IllegalTransition(
                        "Nobody of this campaign is left to write to: reached, or no address."
                        if campaign.status in BEGUN
                        else "Sending has not begun: letters are for those whom it does not reach."
                    )
                batch.make(
                    context,
                    incident_id=campaign.incident_id,
                    campaign_id=campaign_id,
                    letters=people,
                    drill=campaign.drill,
                )
                work.record(batch)
        except IntegrityError as error:
            raise Conflict("Somebody else made a batch of these letters at the same moment. Look again.") from error
        return _view(batch)

    def of_campaign(
        self, campaign_id: UUID, *, limit: int = MOST_LISTED, after: UUID | None = None
    ) -> tuple[LetterBatchView, ...]:
        """The batches of a campaign, in the order of their first people; those behind the batch `after`, if one is
        named. NotFound when the campaign has no such batch."""
        places = _places(campaign_id).subquery()
        at, name = places.c.position, places.c.batch_id
        wanted = select(name).order_by(at, name).limit(limit)
        with reading(self._engine) as connection:
            if after is not None:
                last = connection.execute(select(at, name).where(name == after)).first()
                if last is None:
                    raise NotFound("This campaign has no such batch of letters.", field="after")
                wanted = wanted.where((at > last.position) | ((at == last.position) & (name > last.batch_id)))
            ids = list(connection.execute(wanted).scalars())
        batches = [self._record.find(LetterBatch, batch_id) for batch_id in ids]
        return tuple(_view(batch) for batch in batches if batch is not None)

    def waiting(self, campaign_id: UUID) -> int:
        """How many could be written to and are in no batch."""
        with reading(self._engine) as connection:
            unwritten = self._unwritten(campaign_id).subquery()
            return int(connection.execute(select(func.count()).select_from(unwritten)).scalar_one())

    def export(self, context: Context, batch_id: UUID, part: Part) -> Exported:
        """The pages (PDF) or the addresses (CSV) of a batch, made now from the vault. That it was handed out is on
        record before it is. Letters carry the day on which the batch was made, so the same file comes out again as long
        as nobody of it is erased."""
        batch = self._record.load(LetterBatch, batch_id)
        people = self._people(batch_id)
        notice = self._notices.of(batch.campaign_id)
        letters = self._presses[batch.drill].letters(notice, people, batch.made_at)
        if not letters:
            raise IllegalTransition("Nobody of this batch can be written to any more.")
        pages, letters = printable(letters, sender=self._sender(), at=batch.made_at, fonts=self._fonts)
        left_out = len(people) - len(letters)
        content = pages if part == "letters" else _addresses(letters, people)

        def command() -> None:
            batch = self._record.load(LetterBatch, batch_id)
            if not batch.has_given(context, part):
                digest = sha256(content).hexdigest()
                batch.export(context, part, sha256=digest, letters=len(letters), left_out=left_out)
                self._record.commit(batch)

        retrying(command)
        if part == "letters" and left_out and batch.state in {"made", "exported"}:
            printed = {letter.key for letter in letters}
            self._leave_out(batch_id, [one.recipient_id for one in people if one.key not in printed])
        log.info("letters.exported", batch=str(batch_id), part=part, letters=len(letters), by=context.actor)
        ending, media = ("pdf", "application/pdf") if part == "letters" else ("csv", "text/csv; charset=utf-8")
        return Exported(f"letters-{str(batch_id)[:8]}.{ending}", media, content, len(letters), left_out)

    def say(self, context: Context, batch_id: UUID, state: Stated, reference: str = "") -> LetterBatchView:
        """Enter what a person says of the letters."""

        def command() -> LetterBatch:
            batch = self._record.load(LetterBatch, batch_id)
            if not batch.has_done(context):
                batch.say(context, state, reference)
                self._record.commit(batch)
            return batch

        said = retrying(command)
        if said.state == "given_up":
            self._free(batch_id)
        return _view(said)

    def view(self, batch_id: UUID) -> LetterBatchView:
        """A batch. NotFound when there is none."""
        return _view(self._record.load(LetterBatch, batch_id))

    def followers(self) -> tuple[Follower, Follower]:
        """One enters letters that were handed over as deliveries of their people; one lets the people of those given up
        go. The second is younger: it begins with batches that a version of before had given up."""

        def enter(recorded: Recorded) -> list[Aggregate]:
            event = recorded.event
            if isinstance(event, LetterBatchStated) and event.state == "handed_over":
                self._hand_over(event.originator_id, event.campaign_id)
            return []

        def free(recorded: Recorded) -> list[Aggregate]:
            event = recorded.event
            if isinstance(event, LetterBatchStated) and event.state == "given_up":
                self._free(event.originator_id)
            return []

        kinds = (LetterBatchStated.kind,)
        return (
            Follower(self._record, "notifier.letters", enter, kinds=kinds),
            Follower(self._record, "notifier.letters-given-up", free, kinds=kinds),
        )

    def _hand_over(self, batch_id: UUID, campaign_id: UUID) -> None:
        for person in self._people(batch_id):
            with self._book.transaction() as moves:
                of = delivery_id(campaign_id, person.recipient_id, CHANNEL, 0)
                if moves.lock(of) is not None:
                    continue  # entered before a kill
                moves.add(campaign_id, person.recipient_id, Next("open", CHANNEL))
                row = moves.lock(of)
                if row is not None:
                    moves.move(row, "sent", code=CODE)
                    moves.set_phase(of, Phase.DONE)
                    moves.follow_up(campaign_id, person.recipient_id)

    def _take(self, connection: Connection, batch_id: UUID, campaign_id: UUID) -> int:
        rows = connection.execute(self._unwritten(campaign_id).limit(MOST)).all()
        if rows:
            connection.execute(
                insert(letter_items),
                [
                    {
                        "campaign_id": campaign_id,
                        "recipient_id": row.recipient_id,
                        "batch_id": batch_id,
                        "position": row.position,
                    }
                    for row in rows
                ],
            )
            first = {"campaign_id": campaign_id, "batch_id": batch_id, "position": rows[0].position}
            connection.execute(insert(letter_batches).values(first))
        return len(rows)

    def _free(self, batch_id: UUID) -> None:
        """Let the people of a batch that was given up be put into another one."""
        with writing(self._engine) as connection:
            connection.execute(delete(letter_items).where(_i.batch_id == batch_id))

    def _unwritten(self, campaign_id: UUID) -> Select[Any]:
        member = audience_members.c
        written = select(_i.recipient_id).where(_i.campaign_id == campaign_id, _i.recipient_id == _p.recipient_id)
        return (
            select(_p.recipient_id, _p.position)
            .join(sendings, sendings.c.campaign_id == _p.campaign_id)
            .join(
                audience_members,
                (member.audience_id == sendings.c.audience_id) & (member.recipient_id == _p.recipient_id),
            )
            .where(_p.campaign_id == campaign_id, _p.outcome.in_(NOT_TOLD), member.has_post, ~written.exists())
            .order_by(_p.position)
        )

    def _leave_out(self, batch_id: UUID, people: Sequence[UUID]) -> None:
        """Take whoever is on no page out of the batch: they are not told when it is handed over, and wait again."""
        with writing(self._engine) as connection:
            connection.execute(delete(letter_items).where(_i.batch_id == batch_id, _i.recipient_id.in_(people)))

    def _people(self, batch_id: UUID) -> list[Addressee]:
        member = audience_members.c
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(_i.position, _i.recipient_id, _p.language, _p.reference, member.country)
                .join(campaign_recipients, (_p.campaign_id == _i.campaign_id) & (_p.recipient_id == _i.recipient_id))
                .join(audience_members, member.recipient_id == _i.recipient_id)
                .where(_i.batch_id == batch_id)
                .order_by(_i.position)
            ).all()
        return [Addressee(row.position, row.recipient_id, row.language, row.country, row.reference) for row in rows]


def _places(campaign_id: UUID) -> CompoundSelect[Any]:
    """The batches of a campaign and their places; also those made by processes of a version that kept people only."""
    listed = exists().where(_b.campaign_id == campaign_id, _b.batch_id == _i.batch_id)
    of_people = select(_i.batch_id, func.min(_i.position).label("position")).where(_i.campaign_id == campaign_id)
    return union_all(
        select(_b.batch_id, _b.position).where(_b.campaign_id == campaign_id),
        of_people.where(~listed).group_by(_i.batch_id),
    )


def _addresses(letters: Sequence[Letter], people: Sequence[Addressee]) -> bytes:
    """CSV (RFC 4180) with a byte order mark, so that spreadsheets read it as UTF-8. No cell begins like a formula."""
    countries = {one.key: one.country for one in people}
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["key", "language", "country", "name", *(f"line{number}" for number in range(1, 8))])
    for letter in letters:
        name, *lines = (_harmless(line) for line in letter.address)
        padded = [*lines, *[""] * 7][:7]
        writer.writerow([letter.key, letter.language, countries[letter.key], name, *padded])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t")) else cell


def _view(batch: LetterBatch) -> LetterBatchView:
    return LetterBatchView(
        batch_id=batch.id,
        campaign_id=batch.campaign_id,
        incident_id=batch.incident_id,
        letters=batch.letters,
        state=batch.state,
        reference=batch.reference,
        drill=batch.drill,
        in_file=batch.in_file,
    )
