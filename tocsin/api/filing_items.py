"""The items a filing must hold, in words, as they stood in the law when the duty was derived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from playbooks.duties.events import DutyOnRecord
from playbooks.filings.prepare import FilingItem


def items_of(duty: DutyOnRecord, language: str) -> Sequence[FilingItem]:
    """Each item with its text in the language, else in English, else by its id."""
    return [FilingItem(id=name, text=_in(duty.content_texts.get(name, {}), language) or name) for name in duty.contents]


def _in(texts: Mapping[str, str], language: str) -> str:
    return texts.get(language) or texts.get(language.partition("-")[0]) or texts.get("en") or ""
