"""Where mail that came back is taken in: is it about a delivery of ours, is it new; then the delivery moves.

Nobody signs a bounce. What proves one is the name that we gave the mail when we sent it (`ReturnPaths`), which only
those know through whose hands it went. A report without it is counted, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Row, delete, exists, insert, select, update

from incidents.record.database import reading
from notifier.bounces.meanings import Meaning
from notifier.bounces.reader import read_mail
from notifier.bounces.report import Finding, MailKind, MailReport
from notifier.bounces.tables import bounces
from notifier.channels.outcome import DeliveryState
from notifier.channels.return_path import ReturnPaths
from notifier.deliveries.book import DeliveryBook
from notifier.deliveries.moves import Moves
from notifier.deliveries.tables import deliveries
from notifier.suppression.book import Reason
from notifier.suppression.learning import Learner

log = structlog.get_logger(__name__)

KEPT = timedelta(days=1)
"""So long a report waits for the outcome of its delivery. A worker that died is taken over within minutes."""
PAGE = 200

STATE_OF: dict[str, DeliveryState | None] = {
    "failed": "undelivered",
    "delivered": "delivered",
    "relayed": "sent",
    "delayed": None,  # it is still on its way: only noted
}
"""What an action makes of a delivery. States move forward only: of two final ones the first to come stays, so that a
late success cannot undo a failure whose person is being told another way, nor a late failure a success."""

_WORST_FIRST = ("failed", "delayed", "relayed", "delivered")


class BounceResult(StrEnum):
    """What a mail did."""

    MOVED = "moved"
    """The delivery moved forward."""
    STALE = "stale"
    """The delivery was there or further already."""
    NOTED = "noted"
    """A delay: nothing to do about it yet."""
    COMPLAINT = "complaint"
    """Somebody called the mail unwanted."""
    DUPLICATE = "duplicate"
    """The same was reported of this delivery before."""
    EARLY = "early"
    """The outcome that it belongs to is not entered yet: kept, and entered right after it."""
    UNPROVEN = "unproven"
    """A report without a proof that it is about a mail of ours: counted, nothing else."""
    FORGED = "forged"
    """It came to an address in the form of ours, with a wrong proof."""
    AUTO_REPLY = "auto_reply"
    """A machine answered for its owner."""
    OTHER = "other"
    """Not a report of anything."""


class BounceDesk:
    """Takes mails in. Synchronous; each is one transaction."""

    def __init__(self, book: DeliveryBook, paths: ReturnPaths, learner: Learner | None = None) -> None:
        self._book = book
        self._paths = paths
        self._learner = learner
        self.counts: Counter[str] = Counter()
        """Mails by result."""
        self.on_count: Callable[[str], None] = lambda _result: None
        """Called with each result; for metrics."""

    def count(self, result: str) -> None:
        """One more of a result."""
        self.counts[result] += 1
        self.on_count(result)

    def is_for_us(self, address: str) -> bool:
        """Whether mail to this address can be about a delivery: it has our form and a right proof."""
        return self._paths.delivery_of(address) is not None

    def accept(self, raw: bytes, *, sent_to: str | None = None) -> BounceResult:
        """Take one mail in, as it came. `sent_to` is the envelope recipient, where it is known."""
        report = read_mail(raw)
        if self._learner is not None:
            self._learner.prepare()
        result = self._accept(report, sent_to)
        self.count(result.value)
        log.info("bounce.taken", result=result.value, kind=report.kind.value, fault=report.fault)
        return result

    def _accept(self, report: MailReport, sent_to: str | None) -> BounceResult:
        delivery_id, evidence = self._proved(report, sent_to)
        if report.kind is MailKind.AUTO_REPLY:
            return BounceResult.AUTO_REPLY
        if report.kind is MailKind.NONE:
            return BounceResult.OTHER
        if delivery_id is None:
            named = (sent_to or "", *report.addressed_to)
            return BounceResult.FORGED if any(map(self._paths.is_ours, named)) else BounceResult.UNPROVEN
        values = _row_of(report)
        if values is None:
            return BounceResult.OTHER
        with self._book.transaction() as moves:
            mine = (bounces.c.delivery_id == delivery_id, bounces.c.status == values["status"])
            if moves.connection.execute(select(bounces.c.status).where(*mine)).first() is not None:
                return BounceResult.DUPLICATE
            row = moves.lock(delivery_id)
            moves.connection.execute(
                insert(bounces).values(
                    delivery_id=delivery_id,
                    evidence=evidence,
                    digest=report.digest,
                    received_at=moves.now,
                    entered=row is not None,
                    **values,
                )
            )
            return BounceResult.EARLY if row is None else self._enter(moves, row, values)

    def enter_waiting(self) -> int:
        """Enter reports whose deliveries have an outcome by now. Returns how many."""
        with reading(self._book.engine) as connection:
            ripe = connection.execute(
                select(bounces)
                .where(
                    bounces.c.entered.is_(False),
                    exists().where(deliveries.c.delivery_id == bounces.c.delivery_id),
                )
                .order_by(bounces.c.delivery_id, bounces.c.received_at)
                .limit(PAGE)
            ).all()
        if ripe and self._learner is not None:
            self._learner.prepare()
        for report in ripe:
            with self._book.transaction() as moves:
                row = moves.lock(report.delivery_id)
                changed = moves.connection.execute(
                    update(bounces)
                    .where(
                        bounces.c.delivery_id == report.delivery_id,
                        bounces.c.status == report.status,
                        bounces.c.entered.is_(False),
                    )
                    .values(entered=True)
                )
                if row is not None and changed.rowcount == 1:
                    self._enter(moves, row, report._asdict())
        self._forget_old()
        return len(ripe)

    def _enter(self, moves: Moves, row: Row[Any], values: dict[str, Any]) -> BounceResult:
        """The effect of a report on a delivery that is in the books."""
        if values["kind"] == MailKind.FEEDBACK:
            self._learn(moves, row, "complaint", values["code"])
            return BounceResult.COMPLAINT
        state = STATE_OF[values["action"]]
        if state is None:
            return BounceResult.NOTED
        moved = self._book.receive(moves, row.delivery_id, None, state, values["code"], receipts=False)
        if values["meaning"] == Meaning.PERMANENT and values["alone"]:
            self._learn(moves, row, "hard-bounce", values["code"])
        return BounceResult.MOVED if moved else BounceResult.STALE

    def _learn(self, moves: Moves, row: Row[Any], reason: Reason, code: str) -> None:
        if self._learner is not None:
            self._learner.learn(
                moves.connection,
                campaign_id=row.campaign_id,
                recipient_id=row.recipient_id,
                channel=row.channel,
                reason=reason,
                code=code,
            )

    def _proved(self, report: MailReport, sent_to: str | None) -> tuple[UUID | None, str]:
        """The delivery that a report is proved to be about, and by what."""
        named: Sequence[tuple[str, Sequence[str]]] = (
            ("envelope", (sent_to or "",)),
            ("header", report.addressed_to),
            ("envelope-id", (report.envelope_id or "",)),
            ("returned", report.returned_from),
        )
        for evidence, texts in named:
            for text in texts:
                delivery_id = self._paths.delivery_of(text)
                if delivery_id is not None:
                    return delivery_id, evidence
        return None, "none"

    def _forget_old(self) -> None:
        before = self._book.clock.now() - KEPT
        old = (bounces.c.entered.is_(False), bounces.c.received_at < before)
        with reading(self._book.engine) as connection:
            if connection.execute(select(bounces.c.status).where(*old).limit(1)).first() is None:
                return
        with self._book.transaction() as moves:
            gone = moves.connection.execute(delete(bounces).where(*old)).rowcount
        log.warning("bounces.without-delivery", reports=gone)


def _row_of(report: MailReport) -> dict[str, Any] | None:
    """What is kept of a report; None where it says nothing of any recipient."""
    if report.kind is MailKind.FEEDBACK:
        kind = report.feedback or "abuse"
        return {
            "status": f"complaint {kind}"[:40],
            "kind": report.kind.value,
            "action": "complaint",
            "meaning": Meaning.NONE.value,
            "code": "complaint",
            "alone": True,
        }
    if not report.findings:
        return None
    finding: Finding = min(report.findings, key=lambda one: _WORST_FIRST.index(one.action))
    return {
        "status": f"{finding.action} {finding.status or ''}".strip()[:40],
        "kind": report.kind.value,
        "action": finding.action,
        "meaning": finding.meaning.value,
        "code": finding.code[:40],
        "alone": len(report.findings) == 1,
    }
