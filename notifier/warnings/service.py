"""Sends staff warnings: to each of our own addresses once for each step and round, whatever is killed when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from incidents.clock import Clock
from incidents.errors import Conflict
from incidents.record import stable_id
from notifier.channels.channel import Channel, Outgoing
from notifier.channels.outcome import Outcome, Verdict
from notifier.warnings.book import Claimed, WarningBook
from notifier.warnings.letter import StaffLanguage, StaffWarning, write

log = structlog.get_logger(__name__)

_SETTLED = {
    Verdict.ACCEPTED: "sent",
    Verdict.AMBIGUOUS: "uncertain",
    Verdict.REJECTED: "refused",
    Verdict.CAMPAIGN_FAULT: "refused",
}


@dataclass(frozen=True, slots=True)
class Addressee:
    """One of our own addresses, and the language to write in."""

    address: str
    language: StaffLanguage


class StaffWarnings:
    """Mails to the organisation's own addresses, which come from its settings: never to affected people."""

    def __init__(
        self,
        book: WarningBook,
        channel: Channel,
        clock: Clock,
    ) -> None:
        self._book = book
        self._channel = channel
        self._clock = clock

    async def send(self, warning: StaffWarning, addressees: Sequence[Addressee]) -> int:
        """Mail it to those of them who have not got it yet in this round. Returns how many mails the server took."""
        taken = 0
        for addressee in dict.fromkeys(addressees):
            recipient = stable_id("staff", addressee.address)
            claimed = self._book.claim(warning, recipient)
            if claimed is not None and await self._send(warning, addressee, recipient, claimed):
                taken += 1
        return taken

    async def close(self) -> None:
        """Let go of connections."""
        await self._channel.close()

    async def _send(self, warning: StaffWarning, addressee: Addressee, recipient: UUID, claimed: Claimed) -> bool:
        async def about_to_write() -> None:
            self._book.begin_writing(claimed)

        try:
            outcome = await self._channel.send(self._mail(warning, addressee, recipient), about_to_write)
        except Conflict:
            log.info("staff-warning.taken-over", incident_id=str(warning.incident_id), duty=warning.duty_id)
            return False
        self._settle(warning, claimed, outcome)
        return outcome.verdict is Verdict.ACCEPTED

    def _settle(self, warning: StaffWarning, claimed: Claimed, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.TEMPORARY:
            self._book.give_back(claimed, outcome.code)
        else:
            self._book.settle(claimed, _SETTLED[outcome.verdict], outcome.code)
        say = log.info if outcome.verdict is Verdict.ACCEPTED else log.error
        say(
            "staff-warning.tried",
            incident_id=str(warning.incident_id),
            duty=warning.duty_id,
            step=warning.step,
            round=warning.round,
            outcome=outcome.verdict.value,
            code=outcome.code,
        )

    def _mail(self, warning: StaffWarning, addressee: Addressee, recipient: UUID) -> Outgoing:
        # The same mail has the same Message-ID whenever it is told again.
        key = stable_id(
            "staff-warning",
            str(warning.incident_id),
            warning.duty_id,
            str(warning.step),
            warning.called_out_at.isoformat(),
            str(warning.round),
            str(recipient),
        )
        return Outgoing(
            delivery_id=key,
            campaign_id=stable_id("staff-warnings", str(warning.incident_id)),
            message_key=key,
            address=addressee.address,
            content=write(warning, addressee.language, self._clock.now()),
            language=addressee.language,
            marker=warning.reference,
        )
