"""What a campaign will take: text message segments, what they cost, how long sending lasts, and whether that is in time
for the law. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import Field

from incidents.record.event import Instant, Model
from notifier.pacing.quiet import Hours, QuietHours

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
    sms_by_country: dict[str, float] = Field(default_factory=dict)
    """Segments a second to a country (`*`: to each other one), whatever the number of senders."""
    emails_per_second: float = Field(default=100.0, gt=0)
    quiet: Hours | None = None
    """Hours in which no text message is sent, by the clock of its country."""
    home: str = "UTC"

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
    """Until the last first attempt: both channels send at the same time. Hours in which people are not disturbed are
    in it where `ends_at` is known."""
    ends_at: Instant | None = None
    """When that would be, if it began now."""
    deadline: Instant | None = None
    """By when the law wants these people told; None where no deadline is known."""
    in_time: bool | None = None
    """Whether the last first attempt would be made before it."""
    late_seconds: float | None = None
    more_senders: int | None = None
    """So many senders like those there are, in addition, would do it; None: no number would, or none is needed."""
    by_email_seconds: float | None = None
    """How long it would take if everybody with an email address got an email first, and only the others a text message;
    None where that is not needed."""


class Work(Model):
    """What is to be sent: segments by country, and mails."""

    segments: dict[str, int]
    mails: int


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
    sms_seconds = texting_seconds(tariff, by_country)
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


def judged(
    one: Forecast,
    tariff: Tariff,
    work: Work,
    *,
    now: datetime,
    deadline: datetime | None,
    with_email: int,
    recipients: int,
) -> Forecast:
    """The same against the deadline, if it began now, with what would do it where it is too late. `with_email`: how
    many of the recipients have an email address."""
    ends_at = max(texting_ends(tariff, work.segments, now), now + timedelta(seconds=one.email_seconds))
    told = {"ends_at": ends_at, "deadline": deadline, "seconds": (ends_at - now).total_seconds()}
    if deadline is None or ends_at <= deadline:
        return one.model_copy(update=told | {"in_time": None if deadline is None else True})
    by_email: float | None = None
    if with_email and one.sms_recipients:
        without = max(recipients - with_email, 0) / one.sms_recipients
        rest = {country: round(count * without) for country, count in work.segments.items()}
        texts = (texting_ends(tariff, rest, now) - now).total_seconds()
        by_email = max(with_email / tariff.emails_per_second, texts)
    return one.model_copy(
        update=told
        | {
            "in_time": False,
            "late_seconds": (ends_at - deadline).total_seconds(),
            "more_senders": more_senders(tariff, work.segments, now, deadline)
            if one.email_seconds <= _until(now, deadline)
            else None,
            "by_email_seconds": by_email,
        }
    )


def _until(now: datetime, deadline: datetime) -> float:
    return (deadline - now).total_seconds()


def texting_seconds(tariff: Tariff, segments: Mapping[str, float]) -> float:
    """How long text messages take while nobody has to be let sleep: all senders together, and no country faster than it
    may be."""
    whole = sum(segments.values()) / (tariff.sms_segments_per_second * tariff.sms_senders)
    slowest = (
        count / rate
        for country, count in segments.items()
        if (rate := tariff.sms_by_country.get(country, tariff.sms_by_country.get(ANYWHERE)))
    )
    return max(whole, *slowest, 0.0)


STEP = timedelta(minutes=15)
LONGEST = timedelta(days=60)
"""Beyond which nobody needs an exact answer."""


def texting_ends(tariff: Tariff, segments: Mapping[str, float], now: datetime) -> datetime:
    """When the last text message would go out, with hours in between in which some countries sleep."""
    if tariff.quiet is None:
        return now + timedelta(seconds=texting_seconds(tariff, segments))
    quiet = QuietHours({"sms": tariff.quiet}, tariff.home)
    left = {country: float(count) for country, count in segments.items() if count}
    at, end = now, now + LONGEST
    while left and at < end:
        awake = {country: count for country, count in left.items() if quiet.until("sms", country, at) is None}
        if awake:
            seconds = texting_seconds(tariff, awake)
            if seconds <= STEP.total_seconds():
                at += timedelta(seconds=seconds) if len(awake) == len(left) else STEP
                left = {country: count for country, count in left.items() if country not in awake}
                continue
            share = STEP.total_seconds() / seconds
            left = {country: count * (1 - share if country in awake else 1) for country, count in left.items()}
        at += STEP
    return at


def more_senders(tariff: Tariff, segments: Mapping[str, float], now: datetime, deadline: datetime) -> int | None:
    """How many more senders like those there are would make it in time; None when no number would."""
    most = 10_000
    if texting_ends(tariff.model_copy(update={"sms_senders": most}), segments, now) > deadline:
        return None
    low, high = tariff.sms_senders, most  # too few, enough
    while high - low > 1:
        middle = (low + high) // 2
        if texting_ends(tariff.model_copy(update={"sms_senders": middle}), segments, now) > deadline:
            low = middle
        else:
            high = middle
    return high - tariff.sms_senders if high > tariff.sms_senders else None
