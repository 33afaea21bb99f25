"""Looking people's histories up, with every look on record before its answer is given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from incidents.clock import Clock
from incidents.errors import InvalidInput, NotFound
from incidents.record import Context, Record
from notifier.history import Finder, Found, HistoryAccess
from notifier.history.access import reason_of_look
from notifier.history.events import By
from projections.coverage.history import PersonHistory, campaign_of, histories
from projections.coverage.history_file import FORMS, Form, HistoryFile


@dataclass(frozen=True, slots=True)
class HistoryDesk:
    """Searches and files. Synchronous; call it from threads."""

    engine: Engine
    record: Record
    clock: Clock
    finder: Finder
    access: HistoryAccess

    def search(self, context: Context, *, by: By, value: str, reason: str) -> tuple[PersonHistory, ...]:
        """What became of the person with this address, reference or random id; empty when nobody is found.
        InvalidInput for an address or id that is none, or without a reason."""
        reason_of_look(reason)
        try:
            recipients = self._find(by, value).recipients
        except NotFound:
            recipients = {}
        found = histories(self.engine, self.record, recipients)
        campaigns: defaultdict[UUID, list[UUID]] = defaultdict(list)
        for one in found:
            campaigns[one.incident_id].append(one.campaign_id)
        self.access.read(context, by=by, reason=reason, recipients=sorted(recipients), campaigns=campaigns)
        return found

    def unsearched(self, by: By) -> tuple[UUID, ...]:
        """Audiences that such a search does not look into: an address is found by marks that older imports did not
        keep. Their people are found by the reference in their notice."""
        return self.finder.unmarked() if by == "address" else ()

    def export(self, context: Context, campaign_id: UUID, form: Form, reason: str) -> Iterator[bytes]:
        """A file of everybody in the campaign's audience, in pieces. What was given out is on record at its end, or
        where the reader broke off. NotFound without such a campaign, InvalidInput without a reason; both at once."""
        reason_of_look(reason)
        if form not in FORMS:
            raise InvalidInput(f"A file is one of: {', '.join(FORMS)}.", field="format")
        file = HistoryFile(self.engine, campaign_of(self.engine, campaign_id), form, self.clock.now())
        of = file.campaign
        self.access.export_begins(
            context, incident_id=of.incident_id, campaign_id=of.campaign_id, form=form, reason=reason
        )
        return self._given_out(context, file, reason)

    def _given_out(self, context: Context, file: HistoryFile, reason: str) -> Iterator[bytes]:
        whole = False
        try:
            yield from file.chunks()
            whole = True
        finally:
            self.access.exported(
                context,
                incident_id=file.campaign.incident_id,
                campaign_id=file.campaign.campaign_id,
                form=file.form,
                recipients=file.recipients,
                outcomes=file.sums,
                root=file.root,
                whole=whole,
                reason=reason,
            )

    def _find(self, by: By, value: str) -> Found:
        if by == "address":
            return self.finder.by_address(value)
        if by == "reference":
            return self.finder.by_reference(value)
        try:
            return self.finder.by_recipient(UUID(value))
        except ValueError:
            raise InvalidInput("A recipient's id is a UUID.", field="recipient") from None
