"""Twilio's status callbacks: is it Twilio, is it about a delivery of ours, is it new; then the delivery moves.

Order is not guaranteed, repeats happen, unknown fields and states may come: each has its place here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import NoReturn
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import structlog
from sqlalchemy import Connection, insert, select

from incidents.errors import Forbidden, InvalidInput
from notifier.channels.outcome import OutcomeTable, outcome_table
from notifier.channels.spoken import KEY_CONFIRMS
from notifier.channels.voice import seconds_of
from notifier.deliveries.book import DeliveryBook
from notifier.deliveries.early import keep_early
from notifier.receipts.callback_url import CallbackUrls
from notifier.receipts.signature import Parameters, TwilioSignatures, first_of
from notifier.receipts.tables import receipts

log = structlog.get_logger(__name__)

_WITHOUT_ANSWER = frozenset({"busy", "no-answer", "failed", "canceled"})
"""Calls that reached nobody; the word is the code of the delivery."""


class ReceiptResult(StrEnum):
    """What a genuine receipt did."""

    MOVED = "moved"
    """The delivery moved forward."""
    STALE = "stale"
    """The delivery was there or further already."""
    DUPLICATE = "duplicate"
    """This very receipt came before."""
    EARLY = "early"
    """The answer it belongs to is not entered yet: kept, and entered right after it."""
    UNKNOWN_STATUS = "unknown_status"
    """Twilio uses a status we do not know: nothing changed."""
    UNKNOWN_DELIVERY = "unknown_delivery"
    """We made the address but have no such delivery (another database, or long ago)."""


class TwilioReceipts:
    """Takes receipts in. `auth_tokens`: the primary and, during a rotation, the secondary."""

    def __init__(
        self,
        book: DeliveryBook,
        callbacks: CallbackUrls,
        auth_tokens: Sequence[str],
        table: OutcomeTable | None = None,
    ) -> None:
        self._book = book
        self._callbacks = callbacks
        self._signatures = TwilioSignatures(callbacks.public_url, auth_tokens)
        self._table = table or outcome_table()
        self.counts: Counter[str] = Counter()
        """Receipts by result, and `forged`."""

    def accept(self, url: str, params: Parameters, signature: str | None) -> ReceiptResult:
        """Take one callback in. Synchronous; answer 204 to any result.

        `url` is the request's address; only its path and query are used, under the public address from the settings,
        because behind a proxy the host that the server sees is not the one Twilio signed. `params` are the form's
        fields, as strings or lists. Forbidden when the signature or our own proof in the address is wrong;
        InvalidInput when the body is not a status callback.
        """
        if not self._signatures.is_genuine(url, params, signature):
            self._refuse("signature")
        delivery_id, campaign_id = self._delivery(urlsplit(url).query)
        sid, status = first_of(params, "MessageSid") or first_of(params, "SmsSid"), first_of(params, "MessageStatus")
        code = first_of(params, "ErrorCode")
        if not sid:
            sid, status, code = self._of_call(params)
        if not sid or not status or len(sid) > 64 or len(status) > 32:
            raise InvalidInput("The body is no message or call status callback.", field="MessageStatus")
        result = self._enter(delivery_id, campaign_id, sid, status, code)
        self.counts[result.value] += 1
        return result

    def accept_key(self, url: str, params: Parameters, signature: str | None) -> bool:
        """Take in that a key was pressed in a call: whether it confirms that the notice was heard. Refuses as above."""
        if not self._signatures.is_genuine(url, params, signature):
            self._refuse("signature")
        delivery_id, campaign_id = self._delivery(urlsplit(url).query)
        sid = first_of(params, "CallSid")
        if not sid or len(sid) > 64:
            raise InvalidInput("The body is not about a call.", field="CallSid")
        if first_of(params, "Digits") != KEY_CONFIRMS:
            return False
        self.counts[self._enter(delivery_id, campaign_id, sid, "call-confirmed", None).value] += 1
        return True

    def _of_call(self, params: Parameters) -> tuple[str | None, str | None, str | None]:
        """Id, one word for how far it is, and code of a call's status callback."""
        status = first_of(params, "CallStatus")
        if not status or len(status) > 20:
            return None, None, None
        seconds = seconds_of(first_of(params, "CallDuration"))
        word = self._table.call_word(status, first_of(params, "AnsweredBy") or "", seconds)
        return first_of(params, "CallSid"), word, status if status in _WITHOUT_ANSWER else None

    def _enter(
        self, delivery_id: UUID, campaign_id: UUID | None, sid: str, status: str, code: str | None
    ) -> ReceiptResult:
        state = self._table.twilio_status.get(status)
        if state is None:
            log.warning("receipt.unknown-status", delivery=str(delivery_id), status=status)
            return ReceiptResult.UNKNOWN_STATUS
        code = code if code and ((code.isdigit() and len(code) <= 8) or code in _WITHOUT_ANSWER) else None
        with self._book.transaction() as moves:
            if self._is_known(moves.connection, sid, status):
                return ReceiptResult.DUPLICATE
            moved = self._book.receive(moves, delivery_id, sid, state, code)
            if moved is None:
                if campaign_id is not None and keep_early(
                    moves,
                    provider_id=sid,
                    status=status,
                    delivery_id=delivery_id,
                    campaign_id=campaign_id,
                    code=code,
                ):
                    return ReceiptResult.EARLY
                moved = self._book.receive(moves, delivery_id, sid, state, code)  # entered between the two looks
            if moved is None:
                log.warning("receipt.unknown-delivery", delivery=str(delivery_id))
                return ReceiptResult.UNKNOWN_DELIVERY
            moves.connection.execute(
                insert(receipts).values(
                    provider_id=sid, status=status, delivery_id=delivery_id, received_at=moves.now, code=code
                )
            )
        return ReceiptResult.MOVED if moved else ReceiptResult.STALE

    def _is_known(self, connection: Connection, sid: str, status: str) -> bool:
        found = connection.execute(
            select(receipts.c.status).where(receipts.c.provider_id == sid, receipts.c.status == status)
        )
        return found.first() is not None

    def _delivery(self, query: str) -> tuple[UUID, UUID | None]:
        fields = parse_qs(query, max_num_fields=20)
        try:
            delivery_id, mac = UUID(fields["delivery"][0]), fields["mac"][0]
        except (KeyError, ValueError):
            self._refuse("address")
        if not self._callbacks.is_ours(delivery_id, mac):
            self._refuse("proof")
        try:
            campaign_id = UUID(fields["campaign"][0])
        except (KeyError, ValueError):
            return delivery_id, None
        return delivery_id, campaign_id

    def _refuse(self, what: str) -> NoReturn:
        self.counts["forged"] += 1
        log.warning("receipt.forged", wrong=what)
        raise Forbidden(f"The receipt's {what} is not genuine. Nothing was changed.", field=what)
