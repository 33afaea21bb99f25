"""Sessions of the console: a signed cookie that names a key and ends by itself.

The cookie proves only that a good key was shown here; what it may do is looked up at each request, so a key that is
revoked ends its sessions at once.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from incidents.clock import Clock
from incidents.errors import NotAuthenticated
from notifier.vault import MasterKeys

PURPOSE = "console-session"
LASTS = timedelta(hours=8)
_VERSION = "v1"
_MAX_COOKIE = 512


@dataclass(frozen=True, slots=True)
class Sessions:
    """Makes and checks cookies. The signing key is derived from the vault's current master key (HKDF-SHA256, RFC 5869).

    Cookies signed under an earlier master key are good until they end, as long as the settings hold that key.
    """

    keys: MasterKeys
    clock: Clock

    def make(self, key_id: str) -> str:
        """The cookie of a new session."""
        ends = int((self.clock.now() + LASTS).timestamp())
        payload = _encode(json.dumps({"key": key_id, "ends": ends}, separators=(",", ":")).encode())
        return f"{_VERSION}.{payload}.{self._sign(payload)}"

    def key_of(self, cookie: str) -> str:
        """The key that a cookie names. NotAuthenticated for one that was forged, altered or has ended."""
        version, _, rest = cookie[:_MAX_COOKIE].partition(".")
        payload, _, signature = rest.partition(".")
        given, genuine = signature.encode("utf-8", "replace"), False
        for key in (self.keys.derive(PURPOSE), *self.keys.derive_earlier(PURPOSE)):
            genuine |= hmac.compare_digest(_signature(key, payload).encode(), given)
        if version != _VERSION or not genuine:
            raise NotAuthenticated("The session is not genuine.")
        try:
            found = json.loads(_decode(payload))
            key_id, ends = str(found["key"]), int(found["ends"])
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise NotAuthenticated("The session cannot be read.") from error
        if self.clock.now().timestamp() >= ends:
            raise NotAuthenticated("The session has ended.")
        return key_id

    def _sign(self, payload: str) -> str:
        return _signature(self.keys.derive(PURPOSE), payload)


def _signature(key: bytes, payload: str) -> str:
    return _encode(hmac.digest(key, f"{_VERSION}.{payload}".encode("utf-8", "replace"), sha256))


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
