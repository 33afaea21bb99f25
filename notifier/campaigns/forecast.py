"""What a campaign will take: text message segments, what they cost, and how long sending lasts. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

from pydantic import Field

from incidents.record.event import Model

ANYWHERE = "*"
"""Stands in a price list for every country that is not named."""


class Tariff(Model):
    """What sending costs and how fast it goes."""

    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    sms_prices: dict[str, Decimal] = Field(default_factory=dict)
    """Price of one segment by destination country (ISO 3166-1 alpha-2), `*` for any other."""
    sms_segments_per_second: float = Field(default=1.0, gt=0)
    """Of one sender: 1 for a long number, 3 toll-free, 100 for a short code (Twilio)."""
    sms_senders: int = Field(default=1, ge=1)
    emails_per_second: float = Field(default=100.0, gt=0)

    def price(self, country: str) -> Decimal | None:
        """Of one segment to a country; None when nobody said."""
        return self.sms_prices.get(country, self.sms_prices.get(ANYWHERE))


class LanguageForecast(Model):
    """The text message in one language: its segments, and those of everybody who gets it."""

    segments: int
    recipients: int
    total_segments: int


class Forecast(Model):
    """First attempts of a campaign: everybody with a telephone gets a text message, the others an email. What fails
    goes on by the next channel and comes on top."""

    sms_recipients: int
    sms_segments: int
    by_language: dict[str, LanguageForecast]
    currency: str
    cost: Decimal | None
    """Of all segments that have a price; None when none has."""
    by_country: dict[str, Decimal]
    unpriced: dict[str, int]
    """Segments to countries without a price: they are not in `cost`."""
    sms_seconds: float
    email_recipients: int
    email_seconds: float
    seconds: float
    """Until the last first attempt: both channels send at the same time."""


def forecast(
    tariff: Tariff, segments: Mapping[str, int], places: Mapping[tuple[str, str], int], recipients: int
) -> Forecast:
    """`segments` of the text by language; `places`: recipients with a telephone by country and language."""
    by_language: dict[str, int] = defaultdict(int)
    by_country: dict[str, int] = defaultdict(int)
    for (country, language), count in places.items():
        by_language[language] += count
        by_country[country] += count * segments[language]
    costs = {
        country: price * count
        for country, count in sorted(by_country.items())
        if (price := tariff.price(country)) is not None
    }
    total, texted = sum(by_country.values()), sum(by_language.values())
    sms_seconds = total / (tariff.sms_segments_per_second * tariff.sms_senders)
    email_seconds = (recipients - texted) / tariff.emails_per_second
    return Forecast(
        sms_recipients=texted,
        sms_segments=total,
        by_language={
            language: LanguageForecast(
                segments=count, recipients=by_language[language], total_segments=by_language[language] * count
            )
            for language, count in sorted(segments.items())
        },
        currency=tariff.currency,
        cost=sum(costs.values(), Decimal(0)) if costs or not total else None,
        by_country=costs,
        unpriced={country: count for country, count in sorted(by_country.items()) if country not in costs},
        sms_seconds=sms_seconds,
        email_recipients=recipients - texted,
        email_seconds=email_seconds,
        seconds=max(sms_seconds, email_seconds),
    )
