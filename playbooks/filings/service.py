"""Commands on filings, and the document that goes out. Every command is idempotent by its cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from incidents.clock import Clock
from incidents.errors import IllegalTransition, NotFound
from incidents.facts import Facts, OrganisationProfile
from incidents.incident.incident import Incident
from incidents.incident.known import known_facts
from incidents.record import Context, Record, retrying
from incidents.reference import reference_of
from playbooks.directory import Directory, place_of, role_of
from playbooks.duties.events import DutyOnRecord
from playbooks.duties.register import DutyRegister, DutyState
from playbooks.filings.events import ItemWritten
from playbooks.filings.filing import Filing, Standing
from playbooks.filings.form import FormItem, items_of, may_be_unknown, standing_of
from playbooks.filings.prepare import PreparedFiling, Receiver, prepare
from playbooks.filings.receivers import Receivers, receivers_of
from playbooks.parties.contacts import ContactPoint
from playbooks.parties.party import Party
from playbooks.parties.service import PartyService

PartiesOf = Callable[[str], Sequence[UUID]]
"""Which parties have a recipient role for us."""


@dataclass(frozen=True, slots=True)
class FilingView:
    """A filing as it stands now."""

    incident_id: UUID
    state: DutyState
    filing: Filing
    items: tuple[FormItem, ...]
    standing: Standing
    receivers: Receivers

    @property
    def duty(self) -> DutyOnRecord:
        """The duty that it fulfils."""
        return self.state.duty

    @property
    def approved(self) -> bool:
        """Whether it may go out as it is, by the decision of a named person."""
        return self.filing.approved_as_is(self.standing)


class FilingService:
    """What people can do to the filings of an incident."""

    def __init__(
        self,
        record: Record,
        *,
        parties: PartyService,
        parties_of: PartiesOf,
        profile: OrganisationProfile,
        directory: Directory,
        clock: Clock,
    ) -> None:
        self._record = record
        self._parties = parties
        self._parties_of = parties_of
        self._profile = profile
        self._directory = directory
        self._clock = clock

    def view(self, incident_id: UUID, duty_id: str, language: str = "en") -> FilingView:
        """The form with what answers each item. NotFound when there is no such duty on record."""
        return self._view(self._register(incident_id), incident_id, duty_id, language)

    def write(self, incident_id: UUID, duty_id: str, context: Context, items: Mapping[str, ItemWritten]) -> FilingView:
        """Write items; one that is empty is taken back."""

        def decide(view: FilingView, _register: DutyRegister) -> None:
            _must_be_open(view)
            view.filing.write(
                context,
                incident_id=incident_id,
                duty_id=duty_id,
                items=items,
                demanded=view.duty.contents,
                may_be_unknown=may_be_unknown(view.duty, self._profile, self._facts(incident_id)[1]),
                points=view.receivers.points,
            )

        return self._change(incident_id, duty_id, context, decide)

    def approve(
        self, incident_id: UUID, duty_id: str, context: Context, *, digest: str, override_reason: str | None = None
    ) -> FilingView:
        """Approve exactly what was read. InvalidInput names what is missing where no reason overrides it."""

        def decide(view: FilingView, _register: DutyRegister) -> None:
            _must_be_open(view)
            view.filing.approve(
                context,
                incident_id=incident_id,
                duty_id=duty_id,
                standing=view.standing,
                digest=digest,
                override_reason=override_reason,
            )

        return self._change(incident_id, duty_id, context, decide)

    def submit(
        self,
        incident_id: UUID,
        duty_id: str,
        context: Context,
        *,
        submitted_at: datetime | None = None,
        reference: str = "",
        override_reason: str | None = None,
    ) -> FilingView:
        """Record that it went out, and fulfil its duty, in one transaction. Lateness is settled here."""
        when = submitted_at or context.recorded_at

        def decide(view: FilingView, register: DutyRegister) -> None:
            register.fulfil(incident_id, duty_id, when, f"filing {reference}" if reference else "filing", context)
            view.filing.submit(
                context,
                incident_id=incident_id,
                duty_id=duty_id,
                standing=view.standing,
                submitted_at=when,
                receipt=reference,
                override_reason=override_reason,
            )

        return self._change(incident_id, duty_id, context, decide, when)

    def document(
        self, incident_id: UUID, duty_id: str, *, language: str = "en", with_addresses: bool = False
    ) -> PreparedFiling:
        """The filing in words. `with_addresses`: for who may see the addresses of contract parties."""
        view = self.view(incident_id, duty_id, language if language in {"en", "zh-Hans"} else "en")
        incident, facts = self._facts(incident_id)
        place = place_of(view.duty.jurisdiction, facts, self._profile)
        return prepare(
            view.duty,
            view.items,
            facts,
            self._profile,
            reference=reference_of(incident_id),
            title=incident.title,
            prepared_at=self._clock.now(),
            language=language,
            authority=self._directory.resolve(role_of(duty_id), place),
            receivers=self.addressed(view, with_addresses=with_addresses),
            warnings=tuple(warning.words(language) for warning in view.receivers.warnings)
            if language in {"en", "zh-Hans"}
            else (),
        )

    def addressed(self, view: FilingView, *, with_addresses: bool) -> tuple[Receiver, ...]:
        """The contacts it goes to; their addresses only for who may see them."""
        values: dict[UUID, ContactPoint] = {}
        if with_addresses:
            for party in {line.party for line in view.receivers.lines}:
                values |= {one.version.point: one.value for one in self._parties.current_contacts(party)}
        return tuple(
            Receiver(
                party=line.name,
                purpose=line.purpose,
                channels=line.version.channels,
                confirmed_by=line.version.confirmed_by or "",
                confirmed_at=line.version.confirmed_at,
                value=values.get(line.version.point),
            )
            for line in view.receivers.lines
        )

    def _register(self, incident_id: UUID) -> DutyRegister:
        register_id = DutyRegister.id_for(incident_id)
        return self._record.find(DutyRegister, register_id) or DutyRegister(register_id)

    def _facts(self, incident_id: UUID) -> tuple[Incident, Facts]:
        incident = self._record.load(Incident, incident_id)
        return incident, known_facts(incident, self._profile)

    def _view(
        self, register: DutyRegister, incident_id: UUID, duty_id: str, language: str, at: datetime | None = None
    ) -> FilingView:
        state = register.duties.get(duty_id)
        if state is None:
            raise NotFound("There is no such duty on record for this incident.", field="duty")
        filing_id = Filing.id_for(incident_id, duty_id)
        filing = self._record.find(Filing, filing_id) or Filing(filing_id)
        _, facts = self._facts(incident_id)
        receivers = self._receivers(state.duty, filing)
        when = filing.submitted.submitted_at if filing.submitted else at or self._clock.now()
        return FilingView(
            incident_id=incident_id,
            state=state,
            filing=filing,
            items=items_of(state.duty, filing.said, facts, self._profile, language, at=when),
            standing=standing_of(
                state.duty,
                filing.said,
                facts,
                self._profile,
                at=when,
                points=receivers.points,
                warnings=[warning.code for warning in receivers.warnings],
            ),
            receivers=receivers,
        )

    def _receivers(self, duty: DutyOnRecord, filing: Filing) -> Receivers:
        if duty.recipient_kind != "party":
            return Receivers()
        role = role_of(duty.duty_id)
        parties: list[Party] = [self._parties.party(party) for party in self._parties_of(role)]
        return receivers_of(role, parties, drawn_up_at=filing.drawn_up_at, drawn_up_with=filing.points)

    def _change(
        self,
        incident_id: UUID,
        duty_id: str,
        context: Context,
        decide: Callable[[FilingView, DutyRegister], None],
        at: datetime | None = None,
    ) -> FilingView:
        def command() -> None:
            register = self._register(incident_id)
            view = self._view(register, incident_id, duty_id, "en", at)
            if not view.filing.has_done(context):
                decide(view, register)
                self._record.commit(view.filing, register)

        retrying(command)
        return self.view(incident_id, duty_id)


def _must_be_open(view: FilingView) -> None:
    if view.state.fulfilled_at is not None:
        raise IllegalTransition(f"The duty was fulfilled at {view.state.fulfilled_at.isoformat()}.")
