"""The words of the public pages, and which language a reader gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import yaml

from notifier.audience import language_chooser

LANGUAGES = ("en", "zh-Hans", "vi")
"""What the pages themselves are written in; a notice may have more."""
NAMES = {"en": "English", "zh-Hans": "简体中文", "zh-Hant": "繁體中文", "vi": "Tiếng Việt"}
_FALLBACKS: dict[str, tuple[str, ...]] = {"zh-Hant": ("zh-Hans",), "yue": ("zh-Hant", "zh-Hans")}
_MOST_WISHES = 10


class Words:
    """`words("genuine", organisation="Lantern Bank")`."""

    def __init__(self, language: str) -> None:
        self._language = language if language in LANGUAGES else "en"

    def __call__(self, key: str, **values: str) -> str:
        text = table()[key][self._language]
        return text.format(**values) if values else text


@cache
def table() -> Mapping[str, Mapping[str, str]]:
    """All words: key to language to text. KeyError when an entry lacks a language."""
    found: Mapping[str, Mapping[str, str]] = yaml.safe_load(
        files("tocsin.public_pages").joinpath("words.yaml").read_text("utf-8")
    )
    for key, texts in found.items():
        if set(texts) != set(LANGUAGES):
            raise KeyError(f"{key} is not in all of {', '.join(LANGUAGES)}")
    return found


def choose(asked: str | None, accept_language: str, available: Sequence[str]) -> str:
    """`?lang=`, else the first wish of the browser (RFC 9110 section 12.5.4) that is there, else English."""
    if asked in available:
        return str(asked)
    chooser = language_chooser(tuple(available), _FALLBACKS, None)
    wishes = sorted(map(_weighted, accept_language[:1_000].split(",")[:_MOST_WISHES]), key=lambda wish: -wish[0])
    found = (chooser(tag) for weight, tag in wishes if weight > 0)
    return next(filter(None, found), "en" if "en" in available else available[0])


def _weighted(item: str) -> tuple[float, str]:
    tag, _, rest = item.strip().partition(";")
    name, _, value = rest.strip().partition("=")
    try:
        return (float(value) if name.strip() == "q" else 1.0), tag[:40]
    except ValueError:
        return 0.0, tag[:40]
