"""The address that reports about a mail come back to: it names the delivery, and proves that we made it (VERP).

`b+<token>.<proof>@domain`, where the token is the delivery's id and the proof an HMAC. The same `<token>.<proof>` is
the mail's ENVID (RFC 3461 section 4.4), which a report repeats even where its own address was lost on the way.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32decode, b32encode
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from incidents.errors import InvalidInput

PURPOSE = "bounce-address"
_TOKEN = 26
_PROOF = 16
"""Signs of base32: 80 bits, and each guess costs a mail."""
_NAMED = re.compile(rf"([a-z2-7]{{{_TOKEN}}})\.([a-z2-7]{{{_PROOF}}})")
_ADDRESS = re.compile(r"([A-Za-z0-9_-]{1,16})@([A-Za-z0-9.-]{1,180})")


class ReturnPaths:
    """Makes and checks envelope senders under a mailbox of ours (`b@bounces.example.org`).

    `earlier` are secrets from before a rotation: a report may come days after the mail.
    """

    def __init__(self, mailbox: str, secret: bytes, earlier: Sequence[bytes] = ()) -> None:
        parts = _ADDRESS.fullmatch(mailbox)
        if parts is None:
            raise InvalidInput(
                "The mailbox for bounces is a short name at a domain, such as b@bounces.example.org.",
                field="bounces.address",
            )
        if any(len(one) < 16 for one in (secret, *earlier)):
            raise InvalidInput("The secret of bounce addresses needs 16 bytes or more.", field="bounces")
        self._name, self._domain = parts.group(1).lower(), parts.group(2).lower()
        self._begin, self._end = f"{self._name}+".encode(), f"@{self._domain}".encode()
        self._secret = secret
        self._secrets = (secret, *earlier)

    def name(self, delivery_id: UUID) -> bytes:
        """`<token>.<proof>`: 43 signs that stand for themselves in SMTP and in headers."""
        token = b32encode(delivery_id.bytes)[:_TOKEN].lower()
        return token + b"." + _proof(self._secret, delivery_id)

    def sender(self, delivery_id: UUID) -> bytes:
        """The envelope sender for one delivery."""
        return self._begin + self.name(delivery_id) + self._end

    def is_ours(self, address: str) -> bool:
        """Whether an address has the form of ours, proved or not."""
        local, _, domain = address.lower().rpartition("@")
        return domain == self._domain and local.startswith(f"{self._name}+")

    def delivery_of(self, text: str) -> UUID | None:
        """The delivery that an address or ENVID of ours names; None where it is not, or the proof is wrong."""
        local, at, domain = text.strip().lower().rpartition("@")
        if at:
            if domain != self._domain or not local.startswith(f"{self._name}+"):
                return None
            local = local[len(self._name) + 1 :]
        named = _NAMED.fullmatch(local if at else domain)
        if named is None:
            return None
        delivery_id = UUID(bytes=b32decode(named.group(1).upper() + "======"))
        given, ours = named.group(2).encode(), False
        for secret in self._secrets:  # all of them, so that the time tells nothing
            ours |= hmac.compare_digest(_proof(secret, delivery_id), given)
        return delivery_id if ours else None


def _proof(secret: bytes, delivery_id: UUID) -> bytes:
    mac = hmac.digest(secret, b"tocsin/bounce/" + delivery_id.bytes, sha256)
    return b32encode(mac[: _PROOF * 5 // 8]).lower()
