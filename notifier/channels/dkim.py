"""DKIM signatures (RFC 6376; Ed25519: RFC 8463), relaxed/relaxed, made with `cryptography`.

A body is hashed once per mail; the header that is signed is short. RSA-2048 is what receivers ask for; an Ed25519
signature may stand beside it, never alone.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from incidents.errors import InvalidInput

LEAST_RSA_BITS, MOST_RSA_BITS = 2048, 4096
SIGNED = (
    b"from",
    b"to",
    b"reply-to",
    b"subject",
    b"date",
    b"message-id",
    b"mime-version",
    b"content-type",
    b"content-language",
    b"auto-submitted",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
)
"""Headers that are signed where the mail has them (RFC 6376 section 5.4.1, RFC 8058 section 4)."""
OVERSIGNED = (b"from", b"subject", b"to", b"reply-to", b"date")
"""Named once more than they occur, so that nobody can add another."""
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")
_SPACE = re.compile(rb"[ \t]+")
_SPACE_AT_END = re.compile(rb"[ \t]+(?=\r\n)")
_PADDING, _HASH = PKCS1v15(), SHA256()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and where its public half is published (`<selector>._domainkey.<domain>`)."""

    domain: str
    selector: str
    key: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    @classmethod
    def from_pem(cls, domain: str, selector: str, pem: str) -> SigningKey:
        """Read a PEM key (PKCS #8 or #1, not encrypted). InvalidInput says what is wrong, never what it holds."""
        for name, value in (("domain", domain), ("selector", selector)):
            if len(value) > 180 or not _NAME.fullmatch(value):
                raise InvalidInput(f"The DKIM {name} is not a name of the DNS.", field=f"dkim.{name}")
        try:
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError):
            raise InvalidInput(
                "The DKIM key is not a private key in PEM. `openssl genrsa 2048` makes one.", field="dkim.key"
            ) from None
        if isinstance(key, RSAPrivateKey) and not LEAST_RSA_BITS <= key.key_size <= MOST_RSA_BITS:
            raise InvalidInput(f"The DKIM key has {key.key_size} bits; use {LEAST_RSA_BITS}.", field="dkim.key")
        if not isinstance(key, (RSAPrivateKey, Ed25519PrivateKey)):
            raise InvalidInput("DKIM takes RSA or Ed25519 keys.", field="dkim.key")
        return cls(domain.lower(), selector, key)

    @property
    def algorithm(self) -> Literal["rsa-sha256", "ed25519-sha256"]:
        """Its name in the signature."""
        return "rsa-sha256" if isinstance(self.key, RSAPrivateKey) else "ed25519-sha256"

    @property
    def dns_name(self) -> str:
        """Where the record goes."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def dns_record(self) -> str:
        """The TXT record to publish (RFC 6376 section 3.6.1)."""
        public = self.key.public_key()
        if isinstance(self.key, RSAPrivateKey):
            encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return f"v=DKIM1; k=rsa; p={b64encode(encoded).decode()}"
        encoded = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={b64encode(encoded).decode()}"

    def sign(self, data: bytes) -> bytes:
        """The signature's bytes."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(data, _PADDING, _HASH)
        return self.key.sign(sha256(data).digest())  # RFC 8463 section 3


class DkimSigner:
    """Signs mails of one domain, with one key or two. From's domain must be the key's or below it, which makes the
    signature count for DMARC (RFC 7489 section 3.1.1)."""

    def __init__(self, keys: Sequence[SigningKey], *, from_address: str) -> None:
        domain = from_address.rpartition("@")[2].lower()
        if not any(isinstance(key.key, RSAPrivateKey) for key in keys):
            raise InvalidInput(
                "An RSA key must be among the DKIM keys: many receivers know no other.", field="dkim.key"
            )
        for key in keys:
            if domain != key.domain and not domain.endswith(f".{key.domain}"):
                raise InvalidInput(
                    f"Mail from {domain} signed by {key.domain} would not count: set `dkim.domain` to {domain}.",
                    field="dkim.domain",
                )
        self._keys = tuple(keys)

    def sign(self, mail: bytes) -> bytes:
        """The mail with its signatures in front. Lines must end with CRLF; full stops must not be doubled yet."""
        head, _, body = mail.partition(b"\r\n\r\n")
        body_hash = b64encode(sha256(relaxed_body(body)).digest())
        fields = _relaxed_fields(head)
        signatures = [_signature(key, fields, body_hash) for key in self._keys]
        return b"".join((*signatures, mail))


def _signature(key: SigningKey, fields: dict[bytes, list[bytes]], body_hash: bytes) -> bytes:
    names: list[bytes] = []
    data: list[bytes] = []
    for name in SIGNED:
        values = fields.get(name, [])
        # From the last one up (RFC 6376 section 5.4.2); one more than there are is signed as an empty one.
        for value in reversed(values):
            names.append(name)
            data.append(name + b":" + value + b"\r\n")
        if name in OVERSIGNED:
            names.append(name)
    value = b"v=1; a=%b; c=relaxed/relaxed; d=%b; s=%b;\r\n\th=%b;\r\n\tbh=%b;\r\n\tb=" % (
        key.algorithm.encode(),
        key.domain.encode(),
        key.selector.encode(),
        b":\r\n\t ".join(_by_line(names)),
        body_hash,
    )
    data.append(b"dkim-signature:" + _relaxed_value(value))
    signed = b64encode(key.sign(b"".join(data)))
    lines = b"\r\n\t ".join(signed[at : at + 72] for at in range(0, len(signed), 72))
    return b"DKIM-Signature: " + value + lines + b"\r\n"


def _by_line(names: Sequence[bytes]) -> list[bytes]:
    return [b":".join(names[at : at + 6]) for at in range(0, len(names), 6)]


def _relaxed_fields(head: bytes) -> dict[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for line in re.split(rb"\r\n(?![ \t])", head):
        name, colon, value = line.partition(b":")
        if colon:
            fields.setdefault(name.strip().lower(), []).append(_relaxed_value(value))
    return fields


def _relaxed_value(value: bytes) -> bytes:
    """RFC 6376 section 3.4.2."""
    return _SPACE.sub(b" ", value.replace(b"\r\n", b"")).strip(b" \t")


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 section 3.4.4."""
    if b" " in body or b"\t" in body:
        body = _SPACE.sub(b" ", _SPACE_AT_END.sub(b"", body + b"\r\n"))
    body = body.rstrip(b"\r\n")
    return body + b"\r\n" if body else b""
