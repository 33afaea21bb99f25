"""The record of looks at people's histories. Each is a stream of its own, so that none waits for another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

from incidents.errors import Conflict
from incidents.record import Aggregate, Context, Event, Record, stable_id
from notifier.decisions import tidy_reason
from notifier.history.events import By, HistoryExportBegun, HistoryExported, HistoryRead

MAX_REASON = 500


class HistoryAccess:
    """Puts looks on record, before (a search) or while (a file) what was found is given out."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def read(
        self,
        context: Context,
        *,
        by: By,
        reason: str,
        recipients: Sequence[UUID],
        campaigns: Mapping[UUID, Sequence[UUID]],
    ) -> None:
        """A search that is about to be answered. `campaigns`: those found, by incident."""
        checked = reason_of_look(reason)
        if not campaigns:
            self._commit(
                "history-read", context, None, HistoryRead, by=by, reason=checked, recipients=tuple(recipients)
            )
        for incident_id, found in sorted(campaigns.items()):
            said = {"campaigns": tuple(sorted(found)), "recipients": tuple(recipients)}
            self._commit("history-read", context, incident_id, HistoryRead, by=by, reason=checked, **said)

    def export_begins(self, context: Context, *, incident_id: UUID, campaign_id: UUID, form: str, reason: str) -> None:
        """A file that is about to be given out."""
        said = {"campaign_id": campaign_id, "form": form, "reason": reason_of_look(reason)}
        self._commit(f"history-export-begun {campaign_id} {form}", context, incident_id, HistoryExportBegun, **said)

    def exported(
        self,
        context: Context,
        *,
        incident_id: UUID,
        campaign_id: UUID,
        form: str,
        recipients: int,
        outcomes: Mapping[str, int],
        root: str,
        whole: bool,
        reason: str,
    ) -> None:
        """A file, as far as it was given out."""
        self._commit(
            f"history-exported {campaign_id}",
            context,
            incident_id,
            HistoryExported,
            campaign_id=campaign_id,
            form=form,
            recipients=recipients,
            outcomes=dict(outcomes),
            root=root,
            whole=whole,
            reason=reason_of_look(reason),
        )

    def _commit(
        self, what: str, context: Context, incident_id: UUID | None, event: type[Event], **said: object
    ) -> None:
        stream = Aggregate(stable_id(what, context.cause, str(incident_id)))
        stream.emit(event, context, incident_id=incident_id, **said)
        try:
            self._record.commit(stream)
        except Conflict:
            known = next(iter(self._record.events.get(stream.id, limit=1)), None)
            if said.get("recipients") and all(getattr(known, name, None) == value for name, value in said.items()):
                return  # the same command, repeated: it is on record
            # The same Idempotency-Key with another question (or one that found nobody, of which nothing is kept to
            # tell it by) is another look.
            another = Aggregate(uuid4())
            another.emit(event, context, incident_id=incident_id, **said)
            self._record.commit(another)


def reason_of_look(reason: str) -> str:
    """Why somebody looks. InvalidInput when it is missing, too long, or names a contact."""
    return tidy_reason(reason, most=MAX_REASON, wanted="Say why: who asked, and what for.")
