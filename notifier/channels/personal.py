"""A notice rendered once for everybody of one language, and filled in for each person by putting pieces together.

Rendering a template for each of millions of people costs more than sending. So it is rendered with marks in the places
of the person's name and reference, and cut at the marks. Whether that gives what a full rendering gives is tried on
awkward names first; a template that does something else with its values than to show them is rendered for each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import escape

from notifier.templates import RenderedEmail, RenderedSms

Slot = Literal["name", "reference"]
Piece = tuple[str, Slot | None]
"""Words that are the same for everybody, and what follows them."""

NAME_MARK = "\ue000Nomen\ue001"
REFERENCE_MARK = "UUUUU-UUUUU"
"""As long as a reference, of signs a text message carries; no reference has a U."""
_MARKS = re.compile(f"({NAME_MARK}|{REFERENCE_MARK})")
_PROBES = (
    ("Ann", "01234-ABCDE"),
    ('O\'Brien & <Söhne> "x" {{ y }}', "ZZZZZ-99999"),
    ("张伟 Nguyễn Văn Á", "0A0A0-1B1B1"),
)


@dataclass(frozen=True, slots=True, eq=False)
class EmailWords:
    """An email in one language, cut at the places where persons differ. One object for a campaign and language."""

    subject: str
    text: tuple[Piece, ...]
    html: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class PersonalEmail:
    """The email to one person."""

    words: EmailWords = field(repr=False)
    name: str = field(repr=False)
    reference: str = field(repr=False)

    def rendered(self) -> RenderedEmail:
        """The whole text."""
        words, values = self.words, {"name": self.name, "reference": self.reference}
        safe = {name: str(escape(value)) for name, value in values.items()}
        return RenderedEmail(subject=words.subject, text=_joined(words.text, values), html=_joined(words.html, safe))


def is_plain(name: str) -> bool:
    """Whether a name can be put into its place as it is: no control signs or line breaks, no space around it."""
    return bool(name) and name.isprintable() and name == name.strip()


def email_words(write: Callable[[str, str], RenderedEmail]) -> EmailWords | None:
    """The words of an email that `write(name, reference)` renders; None when it cannot be cut."""
    marked = write(NAME_MARK, REFERENCE_MARK)
    if _MARKS.search(marked.subject):
        return None
    words = EmailWords(marked.subject, _cut(marked.text), _cut(marked.html))
    same = all(PersonalEmail(words, *probe).rendered() == write(*probe) for probe in _PROBES)
    return words if same else None


@dataclass(frozen=True, slots=True, eq=False)
class SmsWords:
    """A text message in one language, cut at the reference."""

    parts: tuple[str, ...]
    segments: int

    def to(self, reference: str) -> RenderedSms:
        """The message to one person."""
        return RenderedSms.model_construct(text=reference.join(self.parts), segments=self.segments)


def sms_words(write: Callable[[str], RenderedSms]) -> SmsWords | None:
    """The words of a text message that `write(reference)` renders; None when it cannot be cut."""
    marked = write(REFERENCE_MARK)
    words = SmsWords(tuple(marked.text.split(REFERENCE_MARK)), marked.segments)
    return words if all(words.to(reference) == write(reference) for _, reference in _PROBES) else None


def _cut(text: str) -> tuple[Piece, ...]:
    parts = _MARKS.split(text)
    slots: list[Slot | None] = ["name" if mark == NAME_MARK else "reference" for mark in parts[1::2]]
    return tuple(zip(parts[::2], [*slots, None], strict=True))


def _joined(pieces: Sequence[Piece], values: dict[str, str]) -> str:
    return "".join(words if slot is None else words + values[slot] for words, slot in pieces)
