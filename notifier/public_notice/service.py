"""Commands on public notices: load, decide, save; and the follower that hangs them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Row, delete, insert, select

from incidents.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from incidents.record import Aggregate, Context, Follower, Model, Record, Recorded, retrying, stable_id
from incidents.record.database import reading, writing
from notifier.campaigns.campaign import Campaign, Demand
from notifier.public.code import notice_code
from notifier.public_notice.boards import Board, PublicBoard, PublishedVersion
from notifier.public_notice.events import EVENTS, SaidInPublic
from notifier.public_notice.notice import NoticeStatus, NoticeToPublic
from notifier.public_notice.tables import public_notice_states
from notifier.templates import CheckAt, Template, Templates, missing_items, text_digest

FOLLOWER = "notifier.public-notices"
_s = public_notice_states.c


class PublicNoticeView(Model):
    """A public notice as commands and queries answer it."""

    notice_id: UUID
    version: int
    status: NoticeStatus
    incident_id: UUID
    campaign_id: UUID | None
    run_id: UUID | None
    step: str | None
    recipients: int | None
    """Of the campaign whose people could not be reached."""
    unreached: int | None
    rules: tuple[str, ...]
    template: str
    values: dict[str, Any]
    correction: dict[str, str]
    duties: tuple[str, ...]
    untold_duties: tuple[str, ...]
    """Duties to the public that are due and that it does not tell as it stands. The next version tells them."""
    required_items: tuple[str, ...]
    missing_items: tuple[str, ...]
    """Required content that the text as it stands lacks."""
    drill: bool
    languages: tuple[str, ...]
    """In which it would be published as it stands."""
    text_digest: str
    """Of the text as it stands; give it back to publish it. Empty: there is none yet."""
    reason: str | None
    """Why it was dismissed or rejected."""
    code: str
    address: str
    versions: tuple[PublishedVersion, ...]


class PublicNoticeEntry(Model):
    """One line of a list of public notices."""

    notice_id: UUID
    incident_id: UUID
    campaign_id: UUID | None
    status: NoticeStatus
    drill: bool
    versions: int
    unreached: int | None
    updated_at: datetime


class NoticesToPublic:
    """The application service. Synchronous; each method is one transaction on the record."""

    def __init__(
        self,
        engine: Engine,
        record: Record,
        templates: Templates,
        *,
        key: bytes,
        board: PublicBoard,
        drill_board: Board,
        demand: Callable[[UUID], Demand],
    ) -> None:
        """`key` makes the codes. `demand` tells what the law wants of a notice to the public about an incident now."""
        self._engine = engine
        self._record = record
        self._templates = templates
        self._key = key
        self.board = board
        self._boards: Mapping[bool, Board] = {False: board, True: drill_board}
        self._demand = demand

    def suggest(
        self, context: Context, campaign_id: UUID, *, recipients: int, unreached: int, rules: Sequence[str]
    ) -> UUID:
        """Put before a person that too many people of a campaign cannot be reached. Once for each campaign."""
        notice_id = stable_id("public-notice", str(campaign_id))
        campaign = self._record.load(Campaign, campaign_id)

        def command() -> None:
            if self._record.find(NoticeToPublic, notice_id) is not None:
                return
            notice = NoticeToPublic(notice_id)
            notice.suggest(
                context,
                incident_id=campaign.incident_id,
                campaign_id=campaign_id,
                recipients=recipients,
                unreached=unreached,
                rules=tuple(rules),
            )
            self._record.commit(notice)

        retrying(command)
        return notice_id

    def draft(
        self,
        context: Context,
        *,
        incident_id: UUID,
        template: str = "",
        values: Mapping[str, Any] | None = None,
        campaign_id: UUID | None = None,
        notice_id: UUID | None = None,
        run_id: UUID | None = None,
        step: str | None = None,
        drill: bool = False,
    ) -> PublicNoticeView:
        """Draft one; its id follows from the command, or is that of the suggestion it takes up. Words that are not
        given are those of the campaign."""
        of_id = notice_id or stable_id("public-notice", context.cause)
        known = self._record.find(NoticeToPublic, of_id)
        if known is None and notice_id is not None and run_id is None:
            raise NotFound(f"There is no suggestion {notice_id}.", field="suggestion")
        if known is not None and known.incident_id != incident_id:
            raise InvalidInput("The suggestion is about another incident.", field="suggestion")
        campaign_id = campaign_id or (known.campaign_id if known is not None else None)
        campaign = self._record.load(Campaign, campaign_id) if campaign_id is not None else None
        if known is not None and not known.is_drafted and campaign is not None and campaign.drill:
            raise InvalidInput("A drill cannot take up what real people need.", field="campaign")
        if campaign is not None and campaign.incident_id != incident_id:
            raise InvalidInput("The campaign is about another incident.", field="campaign_id")
        template = template or (campaign.template if campaign is not None else "")
        values = values if values is not None else (campaign.values if campaign is not None else {})
        drill = drill or (campaign is not None and campaign.drill)
        words = self._templates.get(template)
        words.check_values(values)
        demand = self._demand(incident_id)

        def command() -> NoticeToPublic:
            notice = self._record.find(NoticeToPublic, of_id) or NoticeToPublic(of_id)
            if not notice.has_done(context):
                notice.draft(
                    context,
                    incident_id=incident_id,
                    campaign_id=campaign_id,
                    run_id=run_id,
                    step=step,
                    template=template,
                    template_version=words.version,
                    values=values,
                    duties=() if drill else demand.duties,
                    required_items=demand.items,
                    drill=drill,
                )
                self._record.commit(notice)
            return notice

        return self._view(retrying(command))

    def revise(
        self,
        context: Context,
        notice_id: UUID,
        values: Mapping[str, Any],
        correction: Mapping[str, str],
        *,
        seen: int | None = None,
    ) -> PublicNoticeView:
        """Replace the words of the version that is prepared; with what is corrected, once one is published. `seen`:
        the version of the notice whose words these come from; Conflict where it has changed since."""

        def decide(notice: NoticeToPublic) -> None:
            words = self._template(notice)
            words.check_values(values)
            for language in correction:
                if language not in words.languages:
                    raise InvalidInput(f"The template has {', '.join(words.languages)}.", field="correction")
            notice.revise(context, values, correction)

        return self._change(context, notice_id, decide, seen=seen)

    def request_approval(self, context: Context, notice_id: UUID) -> PublicNoticeView:
        """Ask a second person to publish it."""

        def decide(notice: NoticeToPublic) -> None:
            template, demand = self._template(notice), self._demand(notice.incident_id)
            notice.request_approval(
                context,
                text_digest=self._digest(notice),
                languages=self._languages(notice),
                missing_essentials=template.missing_essentials(notice.values, template.languages),
                required_items=demand.items,
                duties=demand.duties,
            )

        return self._change(context, notice_id, decide)

    def publish(
        self, context: Context, notice_id: UUID, *, text_digest: str, override_reason: str | None = None
    ) -> PublicNoticeView:
        """Approve exactly this text, and by that publish it."""

        def decide(notice: NoticeToPublic) -> None:
            notice.publish(
                context,
                text_digest=text_digest,
                current_text_digest=self._digest(notice) if notice.is_drafted else "",
                code=self._code(notice),
                words=self.words(notice) if notice.is_drafted else {},
                missing_items=self._missing(notice) if notice.is_drafted else (),
                override_reason=override_reason,
            )

        return self._change(context, notice_id, decide)

    def reject(self, context: Context, notice_id: UUID, *, reason: str) -> PublicNoticeView:
        """Refuse approval."""
        return self._change(context, notice_id, lambda notice: notice.reject(context, reason=reason))

    def dismiss(self, context: Context, notice_id: UUID, *, reason: str) -> PublicNoticeView:
        """Decide that no public notice is needed."""
        return self._change(context, notice_id, lambda notice: notice.dismiss(context, reason=reason))

    def view(self, notice_id: UUID) -> PublicNoticeView:
        """The notice as it stands. NotFound when there is none."""
        return self._view(self._record.load(NoticeToPublic, notice_id))

    def preview(self, notice_id: UUID) -> dict[str, SaidInPublic]:
        """What would be published as it stands, by language."""
        notice = self._record.load(NoticeToPublic, notice_id)
        return self.words(notice) if notice.is_drafted else {}

    def of_incident(self, incident_id: UUID) -> tuple[PublicNoticeEntry, ...]:
        """Those of an incident, the one that changed last on top."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(public_notice_states)
                .where(_s.incident_id == incident_id)
                .order_by(_s.updated_at.desc(), _s.notice_id)
            ).all()
        return tuple(_entry(row) for row in rows)

    def words(self, notice: NoticeToPublic) -> dict[str, SaidInPublic]:
        """The words of the version that is prepared, in every language in which they make sense."""
        template, code = self._templates.get(notice.template), self._code(notice)
        check = CheckAt(code=code, address=self.board.address_of(code))
        return {
            language: SaidInPublic(subject=said.subject, text=said.text)
            for language in self._languages(notice)
            for said in [template.render_to_public(language, notice.values, check)]
        }

    def follower(self) -> Follower:
        """Hangs out what is published, and keeps the lists."""

        def handle(recorded: Recorded) -> list[Aggregate]:
            notice = self._record.load(NoticeToPublic, recorded.event.originator_id)
            self._boards[notice.drill].put(notice)
            self._keep(notice)
            return []

        kinds = [event.kind for event in EVENTS]
        return Follower(self._record, FOLLOWER, handle, kinds=kinds, newest_of=lambda event: event.originator_id)

    def _keep(self, notice: NoticeToPublic) -> None:
        values = {
            "notice_id": notice.id,
            "incident_id": notice.incident_id,
            "campaign_id": notice.campaign_id,
            "status": notice.status.value,
            "drill": notice.drill,
            "versions": len(notice.published),
            "unreached": notice.unreached,
            "updated_at": notice.modified_at,
        }
        with writing(self._engine) as connection:
            connection.execute(delete(public_notice_states).where(_s.notice_id == notice.id))
            connection.execute(insert(public_notice_states).values(values))

    def _change(
        self,
        context: Context,
        notice_id: UUID,
        decide: Callable[[NoticeToPublic], None],
        *,
        seen: int | None = None,
    ) -> PublicNoticeView:
        def command() -> NoticeToPublic | None:
            notice = self._record.load(NoticeToPublic, notice_id)
            if not notice.has_done(context):
                if seen is not None and notice.version != seen:
                    return None
                decide(notice)
                self._record.commit(notice)
            return notice

        changed = retrying(command)
        if changed is None:  # said out here: another try would load it for nothing
            raise Conflict("Somebody changed the public notice meanwhile. Look at it again.", field="version")
        return self._view(changed)

    def _template(self, notice: NoticeToPublic) -> Template:
        if not notice.is_drafted:
            raise IllegalTransition("There are no words yet: draft the public notice first.")
        words = self._templates.get(notice.template)
        if words.version != notice.template_version:
            raise IllegalTransition(
                f"The public notice was drafted with version {notice.template_version} of its template; "
                f"this is version {words.version}. Draft it anew."
            )
        return words

    def _languages(self, notice: NoticeToPublic) -> tuple[str, ...]:
        template = self._templates.get(notice.template)
        return template.written_in(notice.values)

    def _digest(self, notice: NoticeToPublic) -> str:
        """Covers what is corrected too: it is published with the words."""
        values = {**notice.values, **({" correction": notice.correction} if notice.correction else {})}
        return text_digest(self._templates.get(notice.template), values, self._languages(notice))

    def _missing(self, notice: NoticeToPublic) -> tuple[str, ...]:
        required = sorted({*notice.required_items, *self._demand(notice.incident_id).items})
        words = self._templates.get(notice.template)
        return missing_items(words, notice.values, required, self._languages(notice) or None)

    def _code(self, notice: NoticeToPublic) -> str:
        return notice.published[0].code if notice.published else notice_code(self._key, notice.id)

    def _view(self, notice: NoticeToPublic) -> PublicNoticeView:
        code, told = self._code(notice), set(notice.duties)
        return PublicNoticeView(
            notice_id=notice.id,
            version=notice.version,
            status=notice.status,
            incident_id=notice.incident_id,
            campaign_id=notice.campaign_id,
            run_id=notice.run_id,
            step=notice.step,
            recipients=notice.recipients,
            unreached=notice.unreached,
            rules=notice.rules,
            template=notice.template,
            values=notice.values,
            correction=notice.correction,
            duties=notice.duties,
            untold_duties=() if notice.drill else tuple(sorted({*self._demand(notice.incident_id).duties} - told)),
            required_items=notice.required_items,
            missing_items=self._missing(notice) if notice.is_drafted else (),
            drill=notice.drill,
            languages=self._languages(notice) if notice.is_drafted else (),
            text_digest=self._digest(notice) if notice.is_drafted else "",
            reason=notice.reason,
            code=code,
            address=self.board.address_of(code),
            versions=tuple(
                PublishedVersion(
                    number=one.number, published_at=one.recorded_at, words=one.words, correction=one.correction
                )
                for one in notice.published
            ),
        )


def _entry(row: Row[Any]) -> PublicNoticeEntry:
    return PublicNoticeEntry(
        notice_id=row.notice_id,
        incident_id=row.incident_id,
        campaign_id=row.campaign_id,
        status=NoticeStatus(row.status),
        drill=row.drill,
        versions=row.versions,
        unreached=row.unreached,
        updated_at=row.updated_at,
    )
