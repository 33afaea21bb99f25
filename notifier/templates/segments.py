"""How a text travels as SMS: its alphabet and how many segments it takes (3GPP TS 23.038 and 23.040)."""

from __future__ import annotations

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}\\[~]|€\f")
_PLAIN = str.maketrans(
    {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "\u00a0": " ", "•": "-"}
)


def is_gsm7(text: str) -> bool:
    """Whether the 7-bit default alphabet with its extension table can carry the text."""
    return all(char in _BASIC or char in _EXTENDED for char in text)


def plainer(text: str) -> str:
    """Typographic signs replaced by plain ones where that brings the text down to 7 bits, else the text itself."""
    candidate = text.translate(_PLAIN)
    return candidate if is_gsm7(candidate) else text


def segments(text: str) -> int:
    """Segments of the text. 160 septets fit one alone, 153 each of several; in UCS-2 it is 70 and 67 UTF-16 units.

    A sign of two units (extension table, surrogate pair) is never split over two segments.
    """
    if is_gsm7(text):
        costs, alone, joined = [2 if char in _EXTENDED else 1 for char in text], 160, 153
    else:
        costs, alone, joined = [2 if ord(char) > 0xFFFF else 1 for char in text], 70, 67
    if sum(costs) <= alone:
        return 1
    count, room = 1, joined
    for cost in costs:
        if cost > room:
            count, room = count + 1, joined
        room -= cost
    return count
