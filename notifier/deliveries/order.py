"""In which order a person's channels are tried: the usual order, or that of the first rule that fits the person. Pure.

The order decides who is in which batch, so a sending keeps the one that it began with."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pydantic import Field

from incidents.record.event import Model

USUAL = ("sms", "email")


class OrderRule(Model):
    """Another order for some people: those with one of the languages (notice languages) and in one of the countries
    (ISO 3166-1); what is empty fits everybody."""

    languages: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    order: tuple[str, ...] = Field(min_length=1)

    def fits(self, language: str, country: str) -> bool:
        """Whether it is for such a person."""
        return (not self.languages or language in self.languages) and (
            not self.countries or country.upper() in self.countries
        )


class ChannelOrder(Model):
    """The usual order and its exceptions, the first that fits wins."""

    usual: tuple[str, ...] = USUAL
    rules: tuple[OrderRule, ...] = ()

    def of(self, language: str, country: str) -> tuple[str, ...]:
        """The order for a person."""
        return next((rule.order for rule in self.rules if rule.fits(language, country)), self.usual)

    def channels(self, language: str, country: str, has: Collection[str]) -> tuple[str, ...]:
        """The channels of a person who has addresses for these, in the order to try them."""
        return tuple(name for name in self.of(language, country) if reaches(has, name))

    @classmethod
    def plain(cls, names: Iterable[str]) -> ChannelOrder:
        """The same order for everybody."""
        return cls(usual=tuple(names))

    @classmethod
    def kept(cls, usual: str | None, rules: str | None) -> ChannelOrder:
        """As a sending keeps it. A sending of an earlier version has no rules."""
        if rules:
            return cls.model_validate_json(rules)
        return cls.plain((usual or "").split(","))

    @property
    def kept_usual(self) -> str:
        """The usual order, as a sending keeps it."""
        return ",".join(self.usual)[:40]

    @property
    def kept_rules(self) -> str | None:
        """Everything, as a sending keeps it where the usual order does not say all."""
        return self.model_dump_json() if self.rules or len(",".join(self.usual)) > 40 else None


def reaches(has: Collection[str], channel: str) -> bool:
    """Whether a person with these addresses can be told by this channel: whoever has a telephone can be called too."""
    return ("sms" if channel == "voice" else channel) in has
