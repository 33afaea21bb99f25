"""The short code by which people speak of an incident: `INC-7F3K-9Q2M`.

Eight Crockford base32 digits (no I, L, O, U) hold the first 40 bits of the incident's id, so that the code needs no
counter and no table to be made. Among a million incidents less than one pair is expected to share a code by chance;
whoever looks a reference up has to reckon with it.
"""

from __future__ import annotations

import re
from uuid import UUID

from incidents.errors import InvalidInput

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans("OIL", "011")
_SHAPE = re.compile(r"(?:INC-?)?([0-9A-HJKMNP-TV-Z]{4})-?([0-9A-HJKMNP-TV-Z]{4})")
_BITS = 40


def reference_of(incident_id: UUID) -> str:
    """The reference of an incident, `INC-` and two groups of four Crockford base32 digits."""
    number = incident_id.int >> (128 - _BITS)
    digits = "".join(_ALPHABET[(number >> shift) & 31] for shift in range(_BITS - 5, -1, -5))
    return f"INC-{digits[:4]}-{digits[4:]}"


def parse_reference(text: str) -> str:
    """Bring a typed reference to its one written form: case, missing dashes, `O` for `0`, `I` and `L` for `1`.

    InvalidInput when it cannot be a reference.
    """
    bare = text.strip().upper()
    prefix, rest = ("INC", bare[3:]) if bare.startswith("INC") else ("", bare)
    found = _SHAPE.fullmatch(prefix + rest.translate(_READ_AS))
    if found is None:
        raise InvalidInput(
            f"{text[:40]!r} is not an incident reference; it looks like INC-7F3K-9Q2M.", field="reference"
        )
    return f"INC-{found[1]}-{found[2]}"
