"""The address that receipts come back to: it names the delivery and carries our own proof that we made it.

So a receipt tells which delivery it is about even if the answer with the provider's id was lost.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from incidents.errors import InvalidInput

RECEIPT_PATH = "/v1/receipts/twilio"
KEYPRESS_PATH = f"{RECEIPT_PATH}/keypress"
_MAC_HEX = 40


class CallbackUrls:
    """Makes and checks callback addresses under a public base address (`https://notify.example.org`).

    `earlier` are secrets from before a rotation: receipts come days after the message, so their addresses stay good.
    """

    def __init__(self, public_url: str, secret: bytes, earlier: Sequence[bytes] = ()) -> None:
        if any(len(one) < 16 for one in (secret, *earlier)):
            raise InvalidInput("The callback secret needs 16 bytes or more.", field="receipts.secret")
        self.public_url = public_url.rstrip("/")
        self._secret = secret
        self._secrets = (secret, *earlier)

    def url_for(self, delivery_id: UUID, campaign_id: UUID) -> str:
        """The status callback address of one delivery. The campaign is there for people who read logs."""
        mac = _mac(self._secret, delivery_id)
        # Nothing in it needs escaping: ids and hexadecimal digits.
        return f"{self.public_url}{RECEIPT_PATH}?delivery={delivery_id}&campaign={campaign_id}&mac={mac}"

    def keypress_url_for(self, delivery_id: UUID, campaign_id: UUID, language: str) -> str:
        """Where a key that was pressed in a call about one delivery is told, and in which language to thank."""
        address = self.url_for(delivery_id, campaign_id).replace(RECEIPT_PATH, KEYPRESS_PATH, 1)
        return f"{address}&lang={language}"

    def is_ours(self, delivery_id: UUID, mac: str) -> bool:
        """Whether we made the address with this delivery and proof (constant time)."""
        given, ours = mac.encode("utf-8", "replace"), False
        for secret in self._secrets:
            ours |= hmac.compare_digest(_mac(secret, delivery_id).encode(), given)
        return ours


def _mac(secret: bytes, delivery_id: UUID) -> str:
    return hmac.digest(secret, b"tocsin/receipt/" + delivery_id.bytes, sha256).hex()[:_MAC_HEX]
