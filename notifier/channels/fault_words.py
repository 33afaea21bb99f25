"""What the code of a fault means in words, for whoever looks after a sending. The words are data."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml

from incidents.record.event import Model


class FaultWords(Model):
    """The words, in the languages of the console."""

    en: str
    zh: str


class _Pattern(FaultWords):
    pattern: str


class _Table(Model):
    codes: dict[str, FaultWords]
    patterns: tuple[_Pattern, ...]


@cache
def _table() -> _Table:
    text = (Path(__file__).parent / "fault_words.yaml").read_text(encoding="utf-8")
    return _Table.model_validate(yaml.safe_load(text))


def words_of_fault(code: str | None) -> FaultWords | None:
    """What a fault means. A mail server's answer has two codes, of which the second is the more exact one; one that
    nobody explained has a general sentence. None where there is no code."""
    if not code:
        return None
    table = _table()
    for part in (code, *reversed(code.split())):
        if (known := table.codes.get(part)) is not None:
            return known
    found = next((one for one in table.patterns if re.search(one.pattern, code)), None)
    return FaultWords(en=found.en, zh=found.zh) if found is not None else None
