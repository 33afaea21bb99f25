"""The words of a public notice as fields of a form, and back: a value each, in every language that the notice has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from babel import Locale

from notifier.templates.manifest import Manifest, ValueRule
from tocsin.console.languages import Language

TAGS: Mapping[Language, str] = {"en": "en", "zh": "zh-Hans"}
VALUE, CORRECTION = "value", "correction"
_INPUTS = {"date": "date", "email": "email", "url": "url", "phone": "tel"}


@dataclass(frozen=True, slots=True)
class WordField:
    """One field: `key` is its name in the form. `language` is empty where the value is the same in all."""

    key: str
    language: str
    title: str
    """The language, as the reader calls it."""
    text: str


@dataclass(frozen=True, slots=True)
class WordValue:
    """One value of the template with its fields."""

    name: str
    about: str
    input: str
    """Type of the input; empty where it has lines."""
    max: int
    is_list: bool
    fields: tuple[WordField, ...]

    @property
    def is_said(self) -> bool:
        """Whether there is anything in it."""
        return any(field.text for field in self.fields)


def values_shown(
    manifest: Manifest, values: Mapping[str, Any], reader: Language, typed: Mapping[str, str]
) -> tuple[WordValue, ...]:
    """Every value of the template as it stands, or as it was `typed` where a form was refused."""
    tag = TAGS[reader]
    return tuple(
        WordValue(
            name=name,
            about=rule.about.get(tag, rule.about["en"]),
            input="" if rule.type in {"text", "list"} else _INPUTS.get(rule.type, "text"),
            max=rule.max,
            is_list=rule.type == "list",
            fields=tuple(
                WordField(key, language, _called(language, tag), typed.get(key, _as_text(_in(values, name, language))))
                for key, language in _keys(manifest, values, name, rule)
            ),
        )
        for name, rule in manifest.values.items()
    )


def corrections_shown(
    manifest: Manifest,
    values: Mapping[str, Any],
    correction: Mapping[str, str],
    reader: Language,
    typed: Mapping[str, str],
) -> tuple[WordField, ...]:
    """What is corrected, in each language of the notice."""
    return tuple(
        WordField(key, language, _called(language, TAGS[reader]), typed.get(key, correction.get(language, "")))
        for language in languages_of(manifest, values)
        for key in [f"{CORRECTION}.{language}"]
    )


def values_typed(manifest: Manifest, values: Mapping[str, Any], typed: Mapping[str, str]) -> dict[str, Any]:
    """The values with what was typed in their place. What was emptied is gone; what the form did not have stays."""
    new = dict(values)
    for name, rule in manifest.values.items():
        for key, language in _keys(manifest, values, name, rule):
            if key not in typed:
                continue
            text = _as_value(rule, typed[key])
            if not language:
                new[name] = text
            else:
                new[name] = {**(new.get(name) or {}), language: text}
        if isinstance(new.get(name), Mapping):
            new[name] = {language: text for language, text in new[name].items() if text}
        if not new.get(name):
            new.pop(name, None)
    return new


def correction_typed(typed: Mapping[str, str]) -> dict[str, str]:
    """What is corrected, by language."""
    named = ((key.partition("."), " ".join(text.split())) for key, text in typed.items())
    return {language: text for (kind, _, language), text in named if kind == CORRECTION and text}


def languages_of(manifest: Manifest, values: Mapping[str, Any]) -> tuple[str, ...]:
    """The languages in which anything is told, in the template's order; its first one where nothing is. A name of the
    organisation alone tells nothing."""
    told = [values.get(name) for name, rule in manifest.values.items() if rule.by_language and rule.type != "line"]
    said = {language for value in told if isinstance(value, Mapping) for language, text in value.items() if text}
    return tuple(language for language in manifest.languages if language in said) or (manifest.default_language,)


def _keys(manifest: Manifest, values: Mapping[str, Any], name: str, rule: ValueRule) -> Iterator[tuple[str, str]]:
    if not rule.by_language or isinstance(values.get(name), str):
        yield f"{VALUE}.{name}", ""
        return
    for language in languages_of(manifest, values):
        yield f"{VALUE}.{name}.{language}", language


def _in(values: Mapping[str, Any], name: str, language: str) -> Any:
    value = values.get(name)
    return value.get(language) if isinstance(value, Mapping) else value


def _as_text(value: Any) -> str:
    return "\n".join(value) if isinstance(value, list | tuple) else value or ""


def _as_value(rule: ValueRule, text: str) -> str | list[str]:
    plain = text.replace("\r\n", "\n").strip()  # as a browser sends what has lines
    return [line.strip() for line in plain.split("\n") if line.strip()] if rule.type == "list" else plain


def _called(language: str, tag: str) -> str:
    if not language:
        return ""
    return Locale.parse(language, sep="-").get_display_name(Locale.parse(tag, sep="-")) or language
