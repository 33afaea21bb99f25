"""Master keys: named, 32 bytes each, one of them current; old ones stay readable until everything is rewrapped."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from incidents.errors import InvalidInput

KEY_BYTES = 32
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """The keys that wrap the keys of persons. `current` names the one for new wrappings."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        for key_id, key in self.keys.items():
            if not _KEY_ID.fullmatch(key_id):
                raise InvalidInput(
                    "A master key's id is 1 to 32 letters, digits, dots, dashes or underscores.",
                    field="vault.keys",
                )
            if len(key) != KEY_BYTES:
                raise InvalidInput(
                    f"Master key {key_id} has {len(key)} bytes; it needs {KEY_BYTES}.",
                    field=f"vault.keys.{key_id}",
                )
        if self.current not in self.keys:
            raise InvalidInput(f"The current master key {self.current} is not among the keys.", field="vault.current")

    def get(self, key_id: str) -> bytes:
        """The key of that id. InvalidInput names a key that the settings lack."""
        try:
            return self.keys[key_id]
        except KeyError:
            raise InvalidInput(
                f"Contacts are wrapped by master key {key_id}, which the settings do not hold. Add it to the key file.",
                field="vault.keys",
            ) from None

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key for another purpose (HKDF-SHA256, RFC 5869), from the current master key."""
        return self._derived(self.current, purpose)

    def derive_earlier(self, purpose: str) -> tuple[bytes, ...]:
        """The same from every other master key: what was signed before a rotation is checked with these."""
        return tuple(self._derived(key_id, purpose) for key_id in self.keys if key_id != self.current)

    def _derived(self, key_id: str, purpose: str) -> bytes:
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"tocsin/" + purpose.encode()).derive(self.get(key_id))

    @classmethod
    def parse(cls, text: str) -> MasterKeys:
        """Read `id:base64` lines (`#` starts a comment). The last line is the current key: append to rotate."""
        keys: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            entry = line.partition("#")[0].strip()
            if not entry:
                continue
            key_id, _, encoded = entry.partition(":")
            try:
                keys[key_id.strip()] = base64.b64decode(encoded.strip(), validate=True)
            except ValueError:
                raise InvalidInput(f"Line {number} of the master keys is not `id:base64`.", field="vault") from None
        if not keys:
            raise InvalidInput("There is no master key.", field="vault")
        return cls(current=list(keys)[-1], keys=keys)
