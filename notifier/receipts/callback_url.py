"""The address that receipts come back to: it names the delivery and carries our own proof that we made it.

So a receipt tells which delivery it is about even if the answer with the provider's id was lost.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from urllib.parse import urlencode
from uuid import UUID

from incidents.errors import InvalidInput

RECEIPT_PATH = "/v1/receipts/twilio"
_MAC_HEX = 40


class CallbackUrls:
    """Makes and checks callback addresses under a public base address (`https://notify.example.org`)."""

    def __init__(self, public_url: str, secret: bytes) -> None:
        if len(secret) < 16:
            raise InvalidInput("The callback secret needs 16 bytes or more.", field="receipts.secret")
        self.public_url = public_url.rstrip("/")
        self._secret = secret

    def url_for(self, delivery_id: UUID, campaign_id: UUID) -> str:
        """The status callback address of one delivery. The campaign is there for people who read logs."""
        query = urlencode({"delivery": str(delivery_id), "campaign": str(campaign_id), "mac": self._mac(delivery_id)})
        return f"{self.public_url}{RECEIPT_PATH}?{query}"

    def is_ours(self, delivery_id: UUID, mac: str) -> bool:
        """Whether we made the address with this delivery and proof (constant time)."""
        return hmac.compare_digest(self._mac(delivery_id).encode(), mac.encode("utf-8", "replace"))

    def _mac(self, delivery_id: UUID) -> str:
        return hmac.digest(self._secret, b"tocsin/receipt/" + delivery_id.bytes, sha256).hex()[:_MAC_HEX]
