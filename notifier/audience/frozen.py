"""Freezing an audience by digest: one value that stands for exactly these recipients, these contacts, this order.

A leaf is the recipient's id and the HMAC-SHA256 of what they are told by (name, contacts, language, country) under a
key derived from the master key: the root is put into events, and without the key nobody can test a guess against it.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from uuid import UUID

from incidents.errors import InvalidInput
from notifier.audience.merkle import leaf_hash
from notifier.vault import Contact, MasterKeys

FORM = "rfc6962-sha256"
"""Names the digest of this form. Audiences imported before have `hmac-sha256`, an HMAC over sorted HMACs; an approval
given for one of those holds, for a stored digest is compared and never made anew."""
PURPOSE = "audience-digest"


class Freezer:
    """Hashes recipients under one master key, the current one unless another is named."""

    def __init__(self, keys: MasterKeys, key_id: str | None = None) -> None:
        self.key_id = key_id or keys.current
        self._key = MasterKeys(self.key_id, keys.keys).derive(PURPOSE)

    @classmethod
    def of_digest(cls, keys: MasterKeys, digest: str) -> Freezer:
        """The one that made this digest. InvalidInput for a digest of another form."""
        form, _, rest = digest.partition(":")
        key_id, _, _value = rest.partition(":")
        if form != FORM or not key_id:
            raise InvalidInput("The audience was imported before digests could be checked.", field="audience_digest")
        return cls(keys, key_id)

    def leaf(self, recipient_id: UUID, contact: Contact, language: str, country: str) -> bytes:
        """The leaf hash of one recipient, 32 bytes."""
        told = [contact.name, contact.phone or "", contact.email or "", language, country]
        if contact.im or contact.postal:  # audiences without them keep the leaves that they had
            told += [contact.im or "", contact.postal or ""]
        text = "\x1f".join(told).encode()
        return leaf_hash(recipient_id.bytes + hmac.digest(self._key, text, sha256))

    def digest(self, root: bytes) -> str:
        """The audience's digest from the root of its tree."""
        return f"{FORM}:{self.key_id}:{root.hex()}"
