"""The manifest of a template set: its values, its languages, and the content items it can hold."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from incidents.record.event import Model

ValueType = Literal["line", "text", "list", "date", "phone", "email", "url"]


class ValueRule(Model):
    """One value: its type, whether it differs by language, and its longest length (per entry in a list)."""

    type: ValueType
    by_language: bool = False
    essential: bool = False
    max: int = Field(default=254, ge=1, le=2000)
    about: dict[str, str]


class ContentItem(Model):
    """One thing a law wants said: supplied by every value of `all` and, if given, one of `any`."""

    source: str
    all: tuple[str, ...]
    any: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


class Manifest(Model):
    """A template set as its `manifest.yaml` describes it."""

    template: str
    version: str
    category: str = Field(default="incident-notice", pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")
    """What kind of notice it is; suppressions may hold for one category only."""
    unsubscribable: bool = False
    """Whether people may unsubscribe from this category. Where a duty demands the notice they cannot all the same."""
    title: dict[str, str]
    default_language: str
    languages: tuple[str, ...]
    date_formats: dict[str, str] = Field(default_factory=dict)
    fallbacks: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    values: dict[str, ValueRule]
    items: dict[str, ContentItem]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        known = set(self.values)
        for name, item in self.items.items():
            if unknown := (set(item.all) | set(item.any)) - known:
                raise ValueError(f"item {name} is supplied by unknown values: {', '.join(sorted(unknown))}")
        if self.default_language not in self.languages:
            raise ValueError("the default language must be one of the languages")
        return self

    def item(self, name: str) -> ContentItem | None:
        """The item of that id or of one of its other wordings; None when the template cannot hold it."""
        wanted = plain_words(name)
        for item_id, item in self.items.items():
            if wanted == plain_words(item_id) or wanted in map(plain_words, item.also):
                return item
        return None


def plain_words(text: str) -> str:
    """Wording without case, punctuation and spacing, to compare names of content items."""
    return " ".join(re.findall(r"\w+", text.lower().replace("_", " ")))
