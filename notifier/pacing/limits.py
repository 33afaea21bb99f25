"""How many units a second a provider may be handed: messages, or segments of text messages. Pure."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml
from pydantic import Field

from incidents.record.event import Model

ANYWHERE = "*"
"""Stands for every country that is not named; each of them has a bucket of its own."""


class Limits(Model):
    """The limits of one provider as we use it. `per_second` is for all that goes through it, by whatever number of
    senders; `by_country` for each destination (ISO 3166-1 alpha-2, `*`: any other). None: as fast as it takes them."""

    per_second: float | None = Field(default=None, gt=0)
    by_country: dict[str, float] = Field(default_factory=dict)

    def of_country(self, country: str) -> float | None:
        """The limit to a country; None when there is none."""
        return self.by_country.get(country, self.by_country.get(ANYWHERE))


class SenderKind(Model):
    """What a kind of sender passes."""

    name: str
    pattern: str
    segments_per_second: float = Field(gt=0)
    source: str


class _Senders(Model):
    senders: tuple[SenderKind, ...]


@cache
def sender_kinds() -> tuple[SenderKind, ...]:
    """The table that comes with the code; the first that fits counts."""
    text = (Path(__file__).parent / "senders.yaml").read_text(encoding="utf-8")
    return _Senders.model_validate(yaml.safe_load(text)).senders


def kind_of(sender: str) -> SenderKind:
    """What kind of sender a number, short code, name or messaging service is."""
    return next(kind for kind in sender_kinds() if re.fullmatch(kind.pattern, sender))
