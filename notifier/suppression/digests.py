"""From an address to its digest, under a key of its own that outlives every rotation of the master keys."""

from __future__ import annotations

import hmac
import os
import re
from hashlib import sha256
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from email_validator import EmailNotValidError, validate_email
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from incidents.errors import InvalidInput
from incidents.record.database import reading, writing
from notifier.suppression.tables import suppression_keys
from notifier.vault.keys import KEY_BYTES, MasterKeys
from notifier.vault.vault import NONCE_BYTES, VaultDamaged

Kind = Literal["phone", "email"]
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_BOUND = b"tocsin/suppression/1/key"


def normalised(address: str) -> tuple[Kind, str]:
    """What kind of address this is, and the form that digests are made of. InvalidInput for anything else.

    Telephone numbers are E.164. Case is ignored in all of an email address: hardly a mailbox tells apart by it, and a
    person who asked not to be written to meant all of them.
    """
    text = address.strip()
    number = re.sub(r"[\s().\-/]", "", text)
    if _E164.fullmatch(number):
        return "phone", number
    try:
        checked = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise InvalidInput(
            "Give an email address, or a telephone number as +<country code><number>.", field="address"
        ) from None
    return "email", checked.normalized.casefold()


class SuppressionKey:
    """Makes digests. Opened once per process; it wraps its key anew when the master key was rotated."""

    def __init__(self, engine: Engine, keys: MasterKeys) -> None:
        self._engine = engine
        self._keys = keys
        self._key: bytes | None = None

    def open(self) -> bytes:
        """Read or make the key; not inside another transaction."""
        if self._key is None:
            self._key = self._opened()
        return self._key

    def digest(self, kind: Kind, address: str) -> str:
        """The digest of an address that is in its normalised form already, but for case."""
        key = self.open()
        message = b"tocsin/suppression/" + kind.encode() + b"/" + address.casefold().encode()
        return hmac.digest(key, message, sha256).hex()

    def rewrap(self) -> bool:
        """Wrap the key under the current master key. Returns whether it was under another."""
        found = self._read()
        if found is None or found[0] == self._keys.current:
            return False
        key_id, wrapped = found
        with writing(self._engine) as connection:
            connection.execute(
                update(suppression_keys)
                .where(suppression_keys.c.number == 1, suppression_keys.c.key_id == key_id)
                .values(key_id=self._keys.current, wrapped=self._wrap(self._unwrap(key_id, wrapped)))
            )
        return True

    def _opened(self) -> bytes:
        found = self._read() or self._made()
        key = self._unwrap(*found)
        self.rewrap()
        return key

    def _read(self) -> tuple[str, bytes] | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(suppression_keys).where(suppression_keys.c.number == 1)).first()
        return None if row is None else (row.key_id, row.wrapped)

    def _made(self) -> tuple[str, bytes]:
        made = (self._keys.current, self._wrap(AESGCM.generate_key(bit_length=KEY_BYTES * 8)))
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(suppression_keys).values(number=1, key_id=made[0], wrapped=made[1]))
        except IntegrityError:  # another process was faster: there is one key, and it is theirs
            found = self._read()
            if found is None:
                raise
            return found
        return made

    def _wrap(self, key: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self._keys.get(self._keys.current)).encrypt(nonce, key, _BOUND)

    def _unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        try:
            return AESGCM(self._keys.get(key_id)).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _BOUND)
        except InvalidTag:
            raise VaultDamaged(f"The key of suppressions does not open with master key {key_id}.") from None
