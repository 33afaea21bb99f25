"""Facts in words of a language, for documents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from incidents.facts import Facts, FactSpec, vocabulary
from incidents.facts.vocabulary import FactType

LANGUAGES = ("en", "zh-Hans")

_YES_NO = {"en": {True: "yes", False: "no"}, "zh-Hans": {True: "是", False: "否"}}


def local(instant: datetime | None, zone: ZoneInfo) -> str | None:
    """`2026-11-20 09:30 CST`; None stays None."""
    return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z") if instant else None


def label(spec: FactSpec, language: str) -> str:
    """What the fact is called."""
    return spec.zh if language.startswith("zh") else spec.en


def known_in_words(facts: Facts, language: str, zone: ZoneInfo) -> Mapping[str, str]:
    """Name to value of every known fact."""
    return {name: in_words(facts, name, language, zone) for name in facts.known()}


def in_words(facts: Facts, name: str, language: str, zone: ZoneInfo) -> str:
    """The value of a known fact."""
    spec, value = vocabulary()[name], facts.known()[name]
    if spec.type is FactType.INSTANT:
        return local(facts.instant(name), zone) or ""
    if spec.type is FactType.BOOL:
        return _YES_NO[language][bool(value)]
    if isinstance(value, list):
        return "; ".join(_word(spec.values, item, language) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{key}: {amount}" for key, amount in value.items())
    return _word(spec.values, value, language)


def _word(values: Mapping[str, object], word: object, language: str) -> str:
    entry = values.get(str(word)) if values else None
    if entry is None:
        return str(word)
    return str(getattr(entry, "zh" if language.startswith("zh") else "en"))
