"""The code printed in a notice: short enough to read out, tied to one person in one campaign, and telling nothing."""

from __future__ import annotations

import hmac
from hashlib import sha256
from uuid import UUID

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O or U to misread


def reference_code(key: bytes, campaign_id: UUID, recipient_id: UUID) -> str:
    """Ten signs (50 bits) of an HMAC, as `XXXXX-XXXXX`. Nobody can guess another person's."""
    mac = hmac.digest(key, b"tocsin/reference/" + campaign_id.bytes + recipient_id.bytes, sha256)
    number = int.from_bytes(mac[:7], "big") >> 6
    signs = "".join(_DIGITS[(number >> shift) & 31] for shift in range(45, -1, -5))
    return f"{signs[:5]}-{signs[5:]}"


def tidy_reference(text: str) -> str:
    """What a person typed, as it was printed: case, spaces, and I, L, O read as 1, 1, 0."""
    signs = "".join(sign for sign in text.upper() if sign.isalnum()).translate(str.maketrans("ILO", "110"))
    return f"{signs[:5]}-{signs[5:]}"
