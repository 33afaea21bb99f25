"""One-click unsubscribing (RFC 8058) from notices that no law demands. A notice demanded by law never has this header.

The address names the delivery and carries our own proof; it says nothing about the person.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

PURPOSE = "unsubscribe-address"
UNSUBSCRIBE_PATH = "/u"
_MAC_HEX = 32


class UnsubscribeUrls:
    """Makes and checks the addresses under a public base address. `earlier`: secrets from before a rotation."""

    def __init__(self, public_url: str, secret: bytes, earlier: Sequence[bytes] = ()) -> None:
        self._base = f"{public_url.rstrip('/')}{UNSUBSCRIBE_PATH}"
        self._secret = secret
        self._secrets = (secret, *earlier)

    def url_for(self, delivery_id: UUID) -> str:
        """The address for one delivery."""
        return f"{self._base}/{delivery_id.hex}.{_mac(self._secret, delivery_id)}"

    def delivery_of(self, token: str) -> UUID | None:
        """The delivery that the last part of an address names; None where it is not one of ours."""
        name, _, mac = token.partition(".")
        if len(name) != 32 or len(mac) != _MAC_HEX:
            return None
        try:
            delivery_id = UUID(hex=name)
        except ValueError:
            return None
        given, ours = mac.encode("utf-8", "replace"), False
        for secret in self._secrets:
            ours |= hmac.compare_digest(_mac(secret, delivery_id).encode(), given)
        return delivery_id if ours else None


def _mac(secret: bytes, delivery_id: UUID) -> str:
    return hmac.digest(secret, b"tocsin/unsubscribe/" + delivery_id.bytes, sha256).hex()[:_MAC_HEX]
