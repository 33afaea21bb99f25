"""Whether a request is Twilio's: its signature over the public address and the form's fields."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from twilio.request_validator import RequestValidator, add_port, remove_port

MAX_PARAMETERS = 100
Parameters = Mapping[str, str | Sequence[str]]


class TwilioSignatures:
    """Checks signatures. `auth_tokens`: the primary and, during a rotation, the secondary; `public_url`: where the
    world reaches us, because behind a proxy the host that the server sees is not the one Twilio signed."""

    def __init__(self, public_url: str, auth_tokens: Sequence[str]) -> None:
        if not auth_tokens:
            raise ValueError("an auth token is needed to check signatures")
        self._public_url = public_url.rstrip("/")
        self._validators = [RequestValidator(token) for token in auth_tokens]  # type: ignore[no-untyped-call]

    def is_genuine(self, url: str, params: Parameters, signature: str | None) -> bool:
        """Of `url` only path and query are used. As RequestValidator.validate does, with and without the port, but
        compared in constant time."""
        if len(params) > MAX_PARAMETERS:
            return False
        parts = urlsplit(url)
        public = f"{self._public_url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        given, fields, parsed = (signature or "").encode("utf-8", "replace"), _MultiFields(params), urlsplit(public)
        valid = False
        for validator in self._validators:
            for candidate in (remove_port(parsed), add_port(parsed)):  # type: ignore[no-untyped-call]
                computed = validator.compute_signature(candidate, fields)  # type: ignore[no-untyped-call]
                valid |= hmac.compare_digest(computed.encode(), given)
        return valid


class _MultiFields(dict[str, list[str]]):
    """Form fields in the shape that RequestValidator reads repeated ones from."""

    def __init__(self, params: Parameters) -> None:
        super().__init__({name: [value] if isinstance(value, str) else list(value) for name, value in params.items()})

    def getall(self, name: str) -> list[str]:
        return self[name]


def first_of(params: Parameters, name: str) -> str | None:
    """The first value of a field."""
    value = params.get(name)
    if value is None or isinstance(value, str):
        return value
    return value[0] if value else None
