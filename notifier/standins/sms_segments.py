"""How many segments a text takes on the air (3GPP TS 23.038): the provider's count, made on its own."""

from __future__ import annotations

_GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENSION = frozenset("\f^{}\\[~]|€")


def segment_count(text: str) -> int:
    """Segments needed for ``text``: 160 or 153 GSM-7 septets each, else 70 or 67 UTF-16 units.

    A character of two units (extension table, surrogate pair) never straddles two segments.
    """
    if all(char in _GSM_BASIC or char in _GSM_EXTENSION for char in text):
        return _fill([2 if char in _GSM_EXTENSION else 1 for char in text], single=160, part=153)
    return _fill([2 if ord(char) > 0xFFFF else 1 for char in text], single=70, part=67)


def _fill(widths: list[int], *, single: int, part: int) -> int:
    if sum(widths) <= single:
        return 1
    segments, used = 1, 0
    for width in widths:
        if used + width > part:
            segments, used = segments + 1, 0
        used += width
    return segments
