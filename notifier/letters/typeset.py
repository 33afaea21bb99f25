"""From letters to a PDF, by Typst. The words are handed over as data, so nothing in them can be a command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from incidents.errors import InvalidInput

STANDARD = "a-2b"
"""PDF/A-2b (ISO 19005-2): fonts embedded, and every sign must be in one."""
LATIN = ("Noto Serif", "Source Serif 4", "Libertinus Serif")
"""The last one comes with Typst and has Vietnamese."""
CJK: Mapping[str, tuple[str, ...]] = {
    "zh-Hant": ("Noto Serif CJK TC", "Noto Sans CJK TC", "Source Han Serif TC", "PMingLiU"),
    "ja": ("Noto Serif CJK JP", "Noto Sans CJK JP", "Source Han Serif"),
    "ko": ("Noto Serif CJK KR", "Noto Sans CJK KR", "Source Han Serif K"),
    "zh-Hans": ("Noto Serif CJK SC", "Noto Sans CJK SC", "Source Han Serif SC", "Source Han Serif CN", "SimSun"),
}
_RANGES = ((0x2E80, 0x9FFF), (0xAC00, 0xD7AF), (0xF900, 0xFAFF), (0x20000, 0x323AF))


class Unprintable(Exception):
    """There is a sign in the letters that no font has."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter. `key` stands at the foot of its pages and in the address file."""

    key: str
    address: tuple[str, ...] = field(repr=False)
    language: str
    day: str
    subject: str
    text: str = field(repr=False)


def typeset(letters: Sequence[Letter], *, sender: str, at: datetime, fonts: Path | None = None) -> bytes:
    """All letters as one PDF, each beginning on a sheet of its own. The same letters give the same bytes.

    InvalidInput when Typst is not installed, or there is no Chinese, Japanese or Korean font and one is needed;
    Unprintable when there is no font for another sign.
    """
    typst = _library()
    folders = [str(fonts)] if fonts is not None else []
    known = {family.lower(): family for family in _families(typst.Fonts(font_paths=folders))}
    document = {
        "sender": sender,
        "fonts": _chosen(letters, known),
        "letters": [_as_data(letter) for letter in letters],
    }
    sources = {
        "main": files("notifier.letters").joinpath("letter.typ").read_bytes(),
        "letters.json": json.dumps(document, ensure_ascii=False).encode(),
    }
    try:
        made: bytes = typst.compile(
            sources, font_paths=folders, format="pdf", timestamp=int(at.timestamp()), pdf_standards=STANDARD
        )
    except typst.TypstError:
        # The standard forbids signs that no font has. What the library says may repeat a name.
        raise Unprintable from None
    return made


def printable(letters: Sequence[Letter], **how: Any) -> tuple[bytes, list[Letter]]:
    """As `typeset`, without the letters that cannot be printed: the PDF, and whom it is for. InvalidInput when that is
    nobody."""
    good = _good(letters, how)
    if not good:
        raise InvalidInput(
            "None of the letters can be printed: most likely there is no font for the signs in them. Install one, or "
            "name its folder in `letters.fonts`.",
            field="letters.fonts",
        )
    return typeset(good, **how), good


def _good(letters: Sequence[Letter], how: dict[str, Any]) -> list[Letter]:
    """By halves: all is well at the first try, but for a few."""
    try:
        typeset(letters, **how)
    except Unprintable:
        middle = len(letters) // 2
        return [*_good(letters[:middle], how), *_good(letters[middle:], how)] if middle else []
    return list(letters)


def _library() -> Any:
    try:
        import typst
    except ImportError as error:
        raise InvalidInput("Letters need typst, which is not installed. Install tocsin[letters].") from error
    return typst


def _families(found: Any) -> list[str]:
    return [str(name) for name in found.families()]


def _chosen(letters: Sequence[Letter], known: Mapping[str, str]) -> list[str]:
    """Font families in the order to look for a sign."""
    chosen = [known[name.lower()] for name in LATIN if name.lower() in known]
    everything = "".join((*(line for one in letters for line in one.address), *(one.text for one in letters)))
    if any(low <= ord(sign) <= high for sign in set(everything) for low, high in _RANGES):
        languages = [one.language for one in letters if one.language in CJK]
        order = dict.fromkeys([*languages, *reversed(list(CJK))])
        east = [known[name.lower()] for one in order for name in CJK[one] if name.lower() in known]
        if not east:
            raise InvalidInput(
                "There is no font for Chinese, Japanese or Korean signs: install one (such as Noto Serif CJK), or name "
                "its folder in `letters.fonts`.",
                field="letters.fonts",
            )
        chosen += east
    return chosen


def _as_data(letter: Letter) -> dict[str, Any]:
    language, _, rest = letter.language.partition("-")
    region = {"Hans": "CN", "Hant": "TW"}.get(rest, rest if len(rest) == 2 else "")
    parts = [part.split("\n") for part in letter.text.strip().split("\n\n")]
    return {
        "key": letter.key,
        "address": list(letter.address),
        "lang": language,
        "region": region or None,
        "day": letter.day,
        "subject": letter.subject,
        "parts": [lines for lines in parts if any(line.strip() for line in lines)],
    }
