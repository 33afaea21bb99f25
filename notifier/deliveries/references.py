"""The code printed in a notice: short enough to read out, tied to one person in one campaign, and telling nothing."""

from __future__ import annotations

import hmac
from uuid import UUID

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O or U to misread
_PAIRS = tuple(first + second for first in _DIGITS for second in _DIGITS)
"""Ten bits at a time: a code is made for each of millions."""


def reference_code(key: bytes, campaign_id: UUID, recipient_id: UUID) -> str:
    """Ten signs (50 bits) of an HMAC, as `XXXXX-XXXXX`. Nobody can guess another person's."""
    mac = hmac.digest(key, b"tocsin/reference/" + campaign_id.bytes + recipient_id.bytes, "sha256")
    bits = int.from_bytes(mac[:7]) >> 6
    signs = "".join([_PAIRS[bits >> shift & 1023] for shift in (40, 30, 20, 10, 0)])
    return f"{signs[:5]}-{signs[5:]}"


def tidy_reference(text: str) -> str:
    """What a person typed, as it was printed: case, spaces, and I, L, O read as 1, 1, 0."""
    signs = "".join(sign for sign in text.upper() if sign.isalnum()).translate(str.maketrans("ILO", "110"))
    return f"{signs[:5]}-{signs[5:]}"
