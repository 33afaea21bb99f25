"""Checks DKIM signatures as a receiver does (RFC 6376 section 6), written apart from what makes them.

It proves itself on the example of RFC 8463 appendix A.3 before it judges ours (`test_dkim.py`).
"""

from __future__ import annotations

import base64
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key


def tags(text: str) -> dict[str, str]:
    """A tag list (section 3.2)."""
    pairs = (part.split("=", 1) for part in text.split(";") if part.strip())
    return {name.strip(): re.sub(r"\s+", "", value) for name, value in pairs}


def fields_of(head: str) -> list[tuple[str, str]]:
    """Header fields, still folded."""
    found: list[tuple[str, str]] = []
    for line in head.split("\r\n"):
        if line[:1] in (" ", "\t"):
            name, value = found[-1]
            found[-1] = (name, value + "\r\n" + line)
        elif line:
            name, _, value = line.partition(":")
            found.append((name, value))
    return found


def relaxed(name: str, value: str) -> str:
    """One field in relaxed form."""
    return name.lower().strip() + ":" + re.sub(r"[ \t]+", " ", value.replace("\r\n", "")).strip(" \t")


def relaxed_lines(body: str) -> str:
    """A body in relaxed form."""
    lines = [re.sub(r"[ \t]+", " ", line).rstrip(" ") for line in body.split("\r\n")]
    while lines and lines[-1] == "":
        lines.pop()
    return "".join(line + "\r\n" for line in lines)


def verify(mail: bytes, records: dict[str, str]) -> list[str]:
    """The algorithms of all signatures that hold. `records`: TXT records by name. A bad one raises."""
    head, _, body = mail.decode("latin-1").partition("\r\n\r\n")
    fields = fields_of(head)
    held = []
    for name, value in fields:
        if name.lower() != "dkim-signature":
            continue
        said = tags(value)
        if said["v"] != "1" or said["c"] != "relaxed/relaxed":
            raise ValueError("not of a kind that is known here")
        digest = base64.b64encode(hashlib.sha256(relaxed_lines(body).encode("latin-1")).digest()).decode()
        if digest != said["bh"]:
            raise InvalidSignature("the body was changed")
        left = [(one.lower(), relaxed(one, text)) for one, text in fields if one.lower() != "dkim-signature"]
        signed = ""
        for wanted in said["h"].split(":"):
            place = next((at for at in reversed(range(len(left))) if left[at][0] == wanted.lower()), None)
            if place is not None:
                signed += left.pop(place)[1] + "\r\n"
        without = re.sub(r"(\bb=)[^;]*", r"\1", relaxed(name, value))
        _check(said, records[f"{said['s']}._domainkey.{said['d']}"], (signed + without).encode("latin-1"))
        held.append(said["a"])
    return held


def _check(said: dict[str, str], record: str, data: bytes) -> None:
    key = tags(record)
    public, signature = base64.b64decode(key["p"]), base64.b64decode(said["b"])
    if said["a"] == "ed25519-sha256" and key["k"] == "ed25519":
        Ed25519PublicKey.from_public_bytes(public).verify(signature, hashlib.sha256(data).digest())
        return
    loaded = load_der_public_key(public)
    assert isinstance(loaded, RSAPublicKey)
    loaded.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
