"""Signs that turn the direction in which the text behind them is shown (Unicode Standard Annex #9, section 2).

With one of them in a name, `gpj.elif` is read as `file.jpg`, and the rest of a notice may be read backwards. What is
written from right to left needs none of them; the marks that do no more than sit between letters (U+200E, U+200F,
U+061C) stay.
"""

from __future__ import annotations

import re

_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Embeddings, overrides and isolates, and what ends them."""


def turns_direction(text: str) -> str | None:
    """Why such a text is refused, naming the first such sign; None where there is none."""
    found = _TURNING.search(text)
    return None if found is None else f"holds U+{ord(found[0]):04X}, an invisible sign that turns the text around"
