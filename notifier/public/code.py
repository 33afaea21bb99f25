"""The code printed in every notice of a campaign, by which anybody can check that the notice is genuine.

One code for the whole campaign: knowing it says nothing about any person. 65 bits of an HMAC, so nobody can guess that
of another campaign, and a sign that shows a slip in typing.
"""

from __future__ import annotations

import hmac
from uuid import UUID

PURPOSE = "notice-code"
SIGNS = 14
MAX_TYPED = 80
"""Longer input is no code, however it was typed."""

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O or U to misread
_VALUE = {sign: value for value, sign in enumerate(_DIGITS)}
_MISREAD = str.maketrans("ILO", "110")
_FIELD = 0b100101  # x^5 + x^2 + 1: primitive, so x has the order 31, more than a code has places


def notice_code(key: bytes, campaign_id: UUID) -> str:
    """The code as it is printed: `XXXXXXX-XXXXXXX`, the last sign being the check."""
    number = int.from_bytes(hmac.digest(key, b"tocsin/notice-code/" + campaign_id.bytes, "sha256")[:9]) >> 7
    values = [number >> shift & 31 for shift in range(60, -1, -5)]
    return _printed("".join(_DIGITS[value] for value in (*values, _check(values))))


def tidy_code(typed: str) -> str | None:
    """The code that somebody typed, as it is printed: case, spaces, dashes, and I, L, O read as 1, 1, 0. None when it
    is none: too long, too short, a sign that no code has, or a slip (any one wrong sign, any two swapped)."""
    if len(typed) > MAX_TYPED:
        return None
    signs = "".join(sign for sign in typed.upper() if not sign.isspace() and sign not in "-–—_.").translate(_MISREAD)
    values = [_VALUE.get(sign, -1) for sign in signs]
    if len(signs) != SIGNS or -1 in values or _check(values[:-1]) != values[-1]:
        return None
    return _printed(signs)


def _printed(signs: str) -> str:
    return f"{signs[: SIGNS // 2]}-{signs[SIGNS // 2 :]}"


def _check(values: list[int]) -> int:
    """The sum of each value times x to the power of its place, in the field of 32 elements. One wrong value changes it,
    and so do two that changed places, because no two places have the same power."""
    total = 0
    for value in values:
        total = _times_x(total ^ value)
    return total


def _times_x(value: int) -> int:
    doubled = value << 1
    return doubled ^ _FIELD if doubled & 32 else doubled
