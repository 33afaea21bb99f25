"""The filing of a duty: its form, the document, approval, and that it went out.

Addresses of contract parties come back only from questions, and only to those who handle incidents or decide about
duties: answers to commands are kept for repeats.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from playbooks.filings.events import FilingApproved, FilingSubmitted, ItemWritten
from playbooks.filings.form import FormItem
from playbooks.filings.prepare import PreparedFiling, Receiver
from playbooks.filings.service import FilingService, FilingView
from tocsin.access.keys import Principal
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS, Caller
from tocsin.api.commands import Command, CommandRoute, commands
from tocsin.api.paths import IncidentId
from tocsin.api.responses import CHANGING, READING_ONE
from tocsin.api.routes.duties import DutyName, DutyStanding
from tocsin.api.scopes import Parts
from tocsin.api.values import Digest, LongText, Reason, RequestModel, ResponseModel, ZonedTime

router = APIRouter(prefix="/v1/incidents/{incident}/duties", tags=["duties"], route_class=CommandRoute)

Decides = Annotated[Command, commands(Permission.DECIDE_DUTIES)]
Handles = Annotated[Command, commands(Permission.HANDLE_INCIDENTS)]
Language = Literal["en", "zh-Hans"]

COUNSEL = {"en": "Low confidence in this rule: verify with counsel.", "zh-Hans": "本规则可信度低：请与律师核实。"}

Override = Annotated[Reason, Field(max_length=2_000, examples=["The form of the authority has no field for it."])]


class ItemSaid(RequestModel):
    """What the filing says about one item; empty takes back what was written."""

    text: LongText = Field("", description="No e-mail addresses or telephone numbers: ours come from the profile.")
    not_yet_known: bool = Field(False, description="Said in the filing itself. Only where the stage allows it.")


class WriteFiling(RequestModel):
    """Items by id; those left out stay as they are."""

    items: dict[Annotated[str, Field(min_length=1, max_length=80)], ItemSaid] = Field(min_length=1, max_length=100)


class ApproveFiling(RequestModel):
    """That the filing may go out as it was read."""

    digest: Digest = Field(description="Of the form that was read.")
    override_reason: Override | None = Field(None, description="Why it may go out without demanded items.")


class File(RequestModel):
    """A filing was made."""

    submitted_at: ZonedTime | None = Field(None, description="When, if not now.")
    reference: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./_-]{0,63}$")] | None = Field(
        None, description="The receiver's reference of it.", examples=["CAC-2026-0412"]
    )
    override_reason: Override | None = Field(None, description="Why it went out without demanded items.")


class WarningShown(ResponseModel):
    """What must be known about whom it goes to."""

    code: str
    text: str


class Decision(ResponseModel):
    """Who answered for the filing, and for what it lacks."""

    by: str
    at: datetime
    missing: tuple[str, ...]
    not_yet_known: tuple[str, ...]
    override_reason: str | None
    warnings: tuple[str, ...]
    valid: bool = Field(description="Whether it is of what the filing says now.")


class FilingForm(ResponseModel):
    """A filing as it stands."""

    duty_id: str
    recipient: str
    recipient_kind: str
    stage: str
    status: str
    confidence: str
    counsel: str | None = Field(description="Set where the rule is of low confidence: verify with counsel.")
    note: str
    language: str
    items: tuple[FormItem, ...]
    missing: tuple[str, ...] = Field(description="Items without an answer: it is refused without a reason to override.")
    not_yet_known: tuple[str, ...]
    receivers: tuple[Receiver, ...] = Field(description="Confirmed contacts of the contract party it goes to.")
    warnings: tuple[WarningShown, ...]
    digest: str = Field(description="Of what it says: name it to approve it.")
    approval: Decision | None
    submission: Decision | None
    submitted_at: datetime | None


def may_see_addresses(principal: Principal) -> bool:
    """Who handles the incident, and who decides about its duties and so files."""
    return principal.may(Permission.HANDLE_INCIDENTS) or principal.may(Permission.DECIDE_DUTIES)


def form_of(
    filings: FilingService, view: FilingView, language: Language, *, with_addresses: bool = False
) -> FilingForm:
    """The view as an answer."""
    duty, filing = view.duty, view.filing
    return FilingForm(
        duty_id=duty.duty_id,
        recipient=duty.recipient,
        recipient_kind=duty.recipient_kind,
        stage=duty.stage,
        status=duty.status,
        confidence=duty.confidence,
        counsel=COUNSEL[language] if duty.confidence == "low" else None,
        note=duty.note,
        language=language,
        items=view.items,
        missing=tuple(view.standing.missing),
        not_yet_known=view.standing.not_yet_known,
        receivers=filings.addressed(view, with_addresses=with_addresses),
        warnings=tuple(WarningShown(code=one.code, text=one.words(language)) for one in view.receivers.warnings),
        digest=view.standing.digest,
        approval=_decision(filing.approved, valid=view.approved),
        submission=_decision(filing.submitted, valid=True),
        submitted_at=filing.submitted.submitted_at if filing.submitted else None,
    )


def _decision(event: FilingApproved | FilingSubmitted | None, *, valid: bool) -> Decision | None:
    if event is None:
        return None
    judged = event.judged
    return Decision(
        by=event.actor,
        at=event.happened_at,
        missing=judged.missing,
        not_yet_known=judged.not_yet_known,
        override_reason=judged.override_reason,
        warnings=judged.warnings,
        valid=valid,
    )


@router.get("/{duty}/filing-form", summary="Form of a filing", dependencies=[READS], responses=READING_ONE)
def filing_form(
    principal: Caller, incident: IncidentId, duty: DutyName, services: Parts, language: Language = "en"
) -> FilingForm:
    """Every item the law demands: answered by facts, by the profile or by a person, not yet known, or missing."""
    view = services.filings.view(incident, duty, language)
    return form_of(services.filings, view, language, with_addresses=may_see_addresses(principal))


@router.post("/{duty}/filing-items", summary="Write items of a filing", responses=CHANGING)
def write_items(
    command: Handles, incident: IncidentId, duty: DutyName, body: WriteFiling, services: Parts
) -> FilingForm:
    """Write demanded items, or say of some that they are not yet known. An approval given before is void."""
    items = {name: ItemWritten(text=item.text, not_yet_known=item.not_yet_known) for name, item in body.items.items()}
    return form_of(
        services.filings, services.filings.write(incident, duty, command.context(services.clock), items), "en"
    )


@router.post("/{duty}/filing-approval", status_code=201, summary="Approve a filing", responses=CHANGING)
def approve_filing(
    command: Decides, incident: IncidentId, duty: DutyName, body: ApproveFiling, services: Parts
) -> FilingForm:
    """Approve exactly what was read. Refused, naming each missing item, unless a reason overrides it."""
    view = services.filings.approve(
        incident,
        duty,
        command.context(services.clock),
        digest=body.digest,
        override_reason=body.override_reason,
    )
    return form_of(services.filings, view, "en")


@router.post("/{duty}/filing", status_code=201, summary="Record a filing", responses=CHANGING)
def file(command: Decides, incident: IncidentId, duty: DutyName, body: File, services: Parts) -> DutyStanding:
    """The filing was made. Whether it was late is settled here, for good.

    Refused, naming each demanded item that it lacks, unless a reason overrides that.
    """
    view = services.filings.submit(
        incident,
        duty,
        command.context(services.clock),
        submitted_at=body.submitted_at,
        reference=body.reference or "",
        override_reason=body.override_reason,
    )
    return DutyStanding.of(view.state)


@router.get("/{duty}/filing-draft", summary="Prepared text of a filing", dependencies=[READS], responses=READING_ONE)
def filing_draft(
    principal: Caller, incident: IncidentId, duty: DutyName, services: Parts, language: Language = "en"
) -> PreparedFiling:
    """The document: who files, to whom, under which article, what is known, and each item the law wants said."""
    return services.filings.document(incident, duty, language=language, with_addresses=may_see_addresses(principal))
