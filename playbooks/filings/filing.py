"""The filing of one duty: written, approved, submitted. Pure decisions, no I/O.

A filing that lacks an item its law demands is refused, unless a named person overrides that with a reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from incidents.errors import Conflict, FieldFault, Forbidden, IllegalTransition, InvalidInput
from incidents.privacy import refuse_contacts
from incidents.record import Aggregate, Context, folds, stable_id
from playbooks.filings.events import (
    FilingApproved,
    FilingJudged,
    FilingSubmitted,
    FilingWritten,
    ItemWritten,
)

MAX_ITEM = 10_000
MAX_REASON = 2_000


@dataclass(frozen=True, slots=True)
class Said:
    """What a person wrote about one item, and when."""

    item: ItemWritten
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """A filing as it stands at this moment: what `Filing` judges it by."""

    digest: str
    missing: Mapping[str, str]
    """Item to its words, of every demanded item that has no answer."""
    not_yet_known: tuple[str, ...] = ()
    points: tuple[UUID, ...] = ()
    warnings: tuple[str, ...] = ()

    def judged(self, override_reason: str | None) -> FilingJudged:
        """As an event holds it."""
        return FilingJudged(
            digest=self.digest,
            missing=tuple(self.missing),
            not_yet_known=self.not_yet_known,
            override_reason=override_reason if self.missing else None,
            points=self.points,
            warnings=self.warnings,
        )


class Filing(Aggregate):
    """The filing of one duty of one incident."""

    def __init__(self, filing_id: UUID) -> None:
        super().__init__(filing_id)
        self.said: dict[str, Said] = {}
        self.drawn_up_at: datetime | None = None
        """When somebody last wrote into it."""
        self.points: tuple[UUID, ...] = ()
        """Versions of the contacts that counted then."""
        self.approved: FilingApproved | None = None
        self.submitted: FilingSubmitted | None = None

    @staticmethod
    def id_for(incident_id: UUID, duty_id: str) -> UUID:
        """Where the filing of a duty is recorded."""
        return stable_id("filing", str(incident_id), duty_id)

    def write(
        self,
        context: Context,
        *,
        incident_id: UUID,
        duty_id: str,
        items: Mapping[str, ItemWritten],
        demanded: Collection[str],
        may_be_unknown: Collection[str],
        points: tuple[UUID, ...] = (),
    ) -> None:
        """Write items. InvalidInput names every item that is not demanded, too long, holds contact data, or may not be
        left open at this stage."""
        self._still_open()
        if not items:
            raise InvalidInput("Name at least one item.", field="items")
        faults = [
            FieldFault(f"items.{name}", reason)
            for name, item in items.items()
            if (reason := _fault(name, item, demanded, may_be_unknown)) is not None
        ]
        if faults:
            raise InvalidInput("Some items cannot be taken over; nothing was written.", errors=faults)
        clean = {name: item.model_copy(update={"text": item.text.strip()}) for name, item in items.items()}
        self.emit(FilingWritten, context, incident_id=incident_id, duty_id=duty_id, items=clean, points=points)

    def approve(
        self,
        context: Context,
        *,
        incident_id: UUID,
        duty_id: str,
        standing: Standing,
        digest: str,
        override_reason: str | None = None,
    ) -> None:
        """Approve exactly what was read. Conflict when it says something else by now."""
        self._still_open()
        _must_be_person(context, "approve")
        if digest != standing.digest:
            raise Conflict("The filing says something else by now. Look at it again.", field="digest")
        reason = _complete_or_overridden(standing, override_reason)
        self.emit(FilingApproved, context, incident_id=incident_id, duty_id=duty_id, judged=standing.judged(reason))

    def submit(
        self,
        context: Context,
        *,
        incident_id: UUID,
        duty_id: str,
        standing: Standing,
        submitted_at: datetime,
        receipt: str = "",
        override_reason: str | None = None,
    ) -> None:
        """Record that it went out. What was approved, word for word, needs no second override."""
        self._still_open()
        _must_be_person(context, "submit")
        approved = self.approved.judged if self.approved_as_is(standing) and self.approved else None
        if approved is not None and not override_reason:
            override_reason = approved.override_reason
        reason = _complete_or_overridden(standing, override_reason)
        self.emit(
            FilingSubmitted,
            context,
            incident_id=incident_id,
            duty_id=duty_id,
            judged=standing.judged(reason),
            submitted_at=submitted_at,
            receipt=receipt,
        )

    def approved_as_is(self, standing: Standing) -> bool:
        """Whether the approval is of exactly this: no word, and no contact of the receiver, changed since."""
        if self.approved is None:
            return False
        judged = self.approved.judged
        return (judged.digest, set(judged.points)) == (standing.digest, set(standing.points))

    def _still_open(self) -> None:
        if self.submitted is not None:
            raise IllegalTransition(f"This filing went out at {self.submitted.submitted_at.isoformat()}.")

    @folds(FilingWritten)
    def _written(self, event: FilingWritten) -> None:
        for name, item in event.items.items():
            if item.text or item.not_yet_known:
                self.said[name] = Said(item, event.actor, event.happened_at)
            else:
                self.said.pop(name, None)
        self.drawn_up_at, self.points = event.happened_at, event.points

    @folds(FilingApproved)
    def _approved(self, event: FilingApproved) -> None:
        self.approved = event
        self.drawn_up_at, self.points = event.happened_at, event.judged.points

    @folds(FilingSubmitted)
    def _submitted(self, event: FilingSubmitted) -> None:
        self.submitted = event


def _fault(name: str, item: ItemWritten, demanded: Collection[str], may_be_unknown: Collection[str]) -> str | None:
    if name not in demanded:
        return "is not among the items that this duty demands"
    if len(item.text) > MAX_ITEM:
        return f"may have {MAX_ITEM} characters; it has {len(item.text)}"
    if item.not_yet_known and name not in may_be_unknown:
        return "must be said at this stage: it cannot be left as not yet known"
    try:
        refuse_contacts(item.text, f"items.{name}")
    except InvalidInput as fault:
        return fault.detail
    return None


def _complete_or_overridden(standing: Standing, override_reason: str | None) -> str | None:
    reason = (override_reason or "").strip()
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"The reason may have {MAX_REASON} characters.", field="override_reason")
    refuse_contacts(reason, "override_reason")
    if standing.missing and not reason:
        raise InvalidInput(
            "The filing lacks items that its law demands. Write them, say where the stage allows it that they are not"
            " yet known, or give a reason for overriding.",
            errors=[FieldFault(f"items.{name}", f"is missing: {words}") for name, words in standing.missing.items()],
        )
    return reason or None


def _must_be_person(context: Context, verb: str) -> None:
    if not context.actor.startswith("user:"):
        raise Forbidden(f"Only a person may {verb} a filing.")
