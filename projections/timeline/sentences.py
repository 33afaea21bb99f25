"""Entries into words, by the table of sentences beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict

Language = Literal["en", "zh"]

LANGUAGES: tuple[Language, ...] = ("en", "zh")

_INSTANTS = frozenset(
    {"strict_due", "submitted_at", "due_at", "detected_at", "until", "stated_at", "ended_at", "waited_until"}
)

_TERMED = frozenset(
    {
        "reported_by",
        "outcome",
        "how",
        "status",
        "by_state",
        "outcomes",
        "direction",
        "channels",
        "by",
        "form",
        "changed",
    }
)
"""Parameters that hold words of ours, and so have a translation; what people wrote is never translated."""

_LOCAL = frozenset({"recipient", "instrument"})
"""Parameters that may come with their words by language, as `<name>_texts`."""


class Sentences(BaseModel):
    """The table: parts of sentences by kind and language, and the words that fill them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sentences: Mapping[str, Mapping[Language, tuple[str, ...]]]
    terms: Mapping[str, Mapping[Language, str]]
    words: Mapping[str, Mapping[Language, str]]


@cache
def sentences() -> Sentences:
    """The table as shipped."""
    text = files("projections.timeline").joinpath("sentences.yaml").read_text("utf-8")
    return Sentences.model_validate(yaml.safe_load(text))


def language_for(tag: str) -> Language:
    """The language of ours that serves a reader of `tag` (BCP 47): `zh` for any Chinese, else `en`."""
    return "zh" if tag.lower().split("-")[0].split("_")[0] == "zh" else "en"


def sentence(kind: str, parameters: Mapping[str, Any], language: str, zone: ZoneInfo | None = None) -> str:
    """An entry in words: plain text, escape it for HTML. Instants are in `zone` (UTC if none), with their offset."""
    ours = language_for(language)
    table = sentences()
    parts = table.sentences.get(kind, {}).get(ours)
    if parts is None:
        return kind
    filled = _Words(parameters, ours, zone)
    return "".join(part.format_map(filled) for part in parts if filled.has_all(part)).strip()


def placeholders(part: str) -> list[str]:
    """The names a part of a sentence is filled with."""
    return [name for _, name, _, _ in Formatter().parse(part) if name]


class _Words(dict[str, str]):
    """Parameters as words of one language, made when asked for."""

    def __init__(self, parameters: Mapping[str, Any], language: Language, zone: ZoneInfo | None) -> None:
        super().__init__()
        self._parameters = parameters
        self._language = language
        self._zone = zone or UTC

    def has_all(self, part: str) -> bool:
        return all(self[name] != "" for name in placeholders(part))

    def __missing__(self, name: str) -> str:
        if name.endswith("_words"):  # a yes-or-no parameter has a word of its own when it is true
            said = name.removesuffix("_words")
            return sentences().words[said][self._language] if self._parameters.get(said) else ""
        return self._word(name, self._parameters.get(name))

    def _word(self, name: str, value: Any) -> str:
        if value is None:
            return ""
        if name in _INSTANTS and isinstance(value, str):
            return datetime.fromisoformat(value).astimezone(self._zone).strftime("%Y-%m-%d %H:%M %z")
        if name in _LOCAL and (texts := self._parameters.get(f"{name}_texts")):
            return in_language(texts, self._language)
        if isinstance(value, Mapping):
            return self._map(name, value)
        if isinstance(value, list | tuple):
            return self._joined([self._word(name, item) for item in value])
        text = str(value)
        word, _, reference = text.partition(" ") if name == "how" else (text, "", "")
        # The receiver's reference may follow our word for how.
        return f"{self._term(word)} {reference}".strip() if name in _TERMED else text

    def _map(self, name: str, value: Mapping[str, Any]) -> str:
        if name == "title":
            return in_language(value, self._language)
        return self._joined([f"{self._term(key)} {number}" for key, number in value.items()])

    def _joined(self, items: list[str]) -> str:
        return sentences().words["list"][self._language].join(items)

    def _term(self, text: str) -> str:
        return sentences().terms.get(text, {}).get(self._language, text)


def in_language(texts: Mapping[str, str], language: str) -> str:
    """The text for a reader: of the very tag, else of its language, else English, else any; empty without any."""
    base = language.split("-", maxsplit=1)[0]
    for tag in (language, base):
        if tag in texts:
            return texts[tag]
    for tag, text in texts.items():
        if tag.split("-")[0] == base:
            return text
    return texts.get("en") or next(iter(texts.values()), "")
