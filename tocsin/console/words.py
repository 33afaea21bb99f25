"""The console's words in one language."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import yaml

from tocsin.console.languages import LANGUAGES, Language


class Words:
    """`words("left", time="2 h")`; an unknown key is shown as it is, so that a new word of data never breaks a page."""

    def __init__(self, language: Language, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        text = self._texts.get(key)
        if text is None:
            return key.partition("_")[2].replace("_", " ") or key
        return text.format(**values) if values else text


@cache
def words_in(language: Language) -> Words:
    """The words of a language."""
    return Words(language, {key: texts[language] for key, texts in table().items()})


@cache
def table() -> Mapping[str, Mapping[str, str]]:
    """All words as shipped: key to language to text."""
    found: Mapping[str, Mapping[str, str]] = yaml.safe_load(
        files("tocsin.console").joinpath("words.yaml").read_text("utf-8")
    )
    for key, texts in found.items():
        if set(texts) != set(LANGUAGES):
            raise ValueError(f"words.yaml: {key} needs exactly the languages {', '.join(LANGUAGES)}")
    return found
