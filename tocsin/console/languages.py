"""Which of the console's languages a reader gets: asked for, remembered, or preferred by the browser."""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
COOKIE = "tocsin_lang"
HTML_TAG = {"en": "en", "zh": "zh-Hans"}


def choose(asked: str | None, remembered: str | None, accept_language: str) -> Language:
    """`?lang=`, else the cookie, else the first preference of the browser that exists here (RFC 9110, 12.5.4)."""
    for wish in (asked, remembered):
        found = _ours(wish or "")
        if found is not None:
            return found
    wishes = sorted(
        (_weighted(item) for item in accept_language[:1_000].split(",") if item.strip()),
        key=lambda wish: -wish[0],
    )
    return next((found for weight, tag in wishes if weight > 0 and (found := _ours(tag)) is not None), "en")


def _weighted(item: str) -> tuple[float, str]:
    tag, _, rest = item.strip().partition(";")
    name, _, value = rest.strip().partition("=")
    if name.strip() != "q":
        return 1.0, tag
    try:
        return float(value), tag
    except ValueError:
        return 0.0, tag


def _ours(tag: str) -> Language | None:
    primary = tag.strip().lower().replace("_", "-").partition("-")[0]
    return next((language for language in LANGUAGES if language == primary), None)
