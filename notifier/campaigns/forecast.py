"""What a campaign will take: text message segments, what they cost, how long sending lasts, and whether that is in time
for the law. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import Field

from incidents.record.event import Instant, Model
from notifier.audience.reach import Group
from notifier.deliveries.order import ChannelOrder
from notifier.pacing.quiet import Hours, QuietHours

ANYWHERE = "*"
"""Stands in a price list for every country that is not named."""
STEP = timedelta(minutes=15)
LONGEST = timedelta(days=60)
"""Beyond which nobody needs an exact answer."""


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
    calls_per_second: float = Field(default=1.0, gt=0)
    emails_per_second: float = Field(default=100.0, gt=0)
    quiet: Hours | None = None
    """Hours in which no text message is sent, by the clock of its country."""
    quiet_calls: Hours | None = None
    """The same of calls."""
    home: str = "UTC"

    def price(self, country: str) -> Decimal | None:
        """Of one segment to a country; None when nobody said."""
        return self.sms_prices.get(country, self.sms_prices.get(ANYWHERE))

    @property
    def texting(self) -> Pace:
        """That of text messages, in segments."""
        return Pace(self.sms_segments_per_second * self.sms_senders, self.sms_by_country, self.quiet, self.home)

    @property
    def calling(self) -> Pace:
        """That of calls."""
        return Pace(self.calls_per_second, {}, self.quiet_calls, self.home)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast units go out by a channel: all together, to a country, and not at all at some hours."""

    per_second: float
    by_country: Mapping[str, float] = field(default_factory=dict)
    quiet: Hours | None = None
    home: str = "UTC"

    def seconds(self, units: Mapping[str, float]) -> float:
        """How long it takes while nobody has to be let sleep. `units`: by country."""
        slowest = (
            count / rate
            for country, count in units.items()
            if (rate := self.by_country.get(country, self.by_country.get(ANYWHERE)))
        )
        return max(sum(units.values()) / self.per_second, *slowest, 0.0)

    def ends(self, units: Mapping[str, float], now: datetime) -> datetime:
        """When the last one would go out, with hours in between in which some countries sleep."""
        if self.quiet is None:
            return now + timedelta(seconds=self.seconds(units))
        quiet = QuietHours({"it": self.quiet}, self.home)
        left = {country: float(count) for country, count in units.items() if count}
        at, end = now, now + LONGEST
        while left and at < end:
            awake = {country: count for country, count in left.items() if quiet.until("it", country, at) is None}
            if awake:
                seconds = self.seconds(awake)
                if seconds <= STEP.total_seconds():
                    at += timedelta(seconds=seconds) if len(awake) == len(left) else STEP
                    left = {country: count for country, count in left.items() if country not in awake}
                    continue
                share = STEP.total_seconds() / seconds
                left = {country: count * (1 - share if country in awake else 1) for country, count in left.items()}
            at += STEP
        return at


class LanguageForecast(Model):
    """The text message in one language: its segments, and those of everybody who gets it."""

    segments: int
    recipients: int
    total_segments: int


class Forecast(Model):
    """First attempts of a campaign: everybody by the first of their channels, in the order of the settings. What fails
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
    call_recipients: int
    call_seconds: float
    """Until the last call is begun."""
    im_recipients: int
    """People who get an instant message first. Nobody knows how fast the services take them: no time is in here."""
    unreachable: int
    """People with no address for any channel that is set up."""
    with_address: int
    """People with a postal address. Letters are made by hand for those whom nothing else reached; how long they take
    nobody can say, so it is in no time here."""
    seconds: float
    """Until the last first attempt by text message, mail or call: all send at the same time. Hours in which people are
    not disturbed are in it where `ends_at` is known."""
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


@dataclass(slots=True)
class FirstAttempts:
    """What goes out first: segments, texts, calls and mails."""

    segments: Counter[str] = field(default_factory=Counter)
    """By country."""
    texts: Counter[str] = field(default_factory=Counter)
    """People by language."""
    calls: Counter[str] = field(default_factory=Counter)
    """By country."""
    mails: int = 0
    messages: int = 0
    nobody: int = 0
    with_address: int = 0

    @classmethod
    def of(cls, people: Mapping[Group, int], order: ChannelOrder, each: Mapping[str, int]) -> FirstAttempts:
        """Of these people in this order of channels. `each`: segments of the text by language."""
        found = cls()
        for (country, language, has), count in people.items():
            first = next(iter(order.channels(language, country, has)), None)
            if first == "sms":
                found.texts[language] += count
                found.segments[country] += count * each[language]
            elif first == "voice":
                found.calls[country] += count
            elif first == "email":
                found.mails += count
            elif first == "im":
                found.messages += count
            else:
                found.nobody += count
            found.with_address += count if "letter" in has else 0
        return found


def forecast(
    tariff: Tariff, each: Mapping[str, int], people: Mapping[Group, int], order: ChannelOrder = ChannelOrder()
) -> Forecast:
    """`each`: segments of the text by language; `people`: how many there are of each kind."""
    work = FirstAttempts.of(people, order, each)
    costs = {
        country: price * count
        for country, count in sorted(work.segments.items())
        if (price := tariff.price(country)) is not None
    }
    sms_seconds, call_seconds = tariff.texting.seconds(work.segments), tariff.calling.seconds(work.calls)
    email_seconds = work.mails / tariff.emails_per_second
    return Forecast(
        sms_recipients=work.texts.total(),
        sms_segments=work.segments.total(),
        by_language={
            language: LanguageForecast(
                segments=count, recipients=work.texts[language], total_segments=work.texts[language] * count
            )
            for language, count in sorted(each.items())
        },
        currency=tariff.currency,
        cost=sum(costs.values(), Decimal(0)) if costs or not work.segments else None,
        by_country=costs,
        unpriced={country: count for country, count in sorted(work.segments.items()) if country not in costs},
        sms_seconds=sms_seconds,
        email_recipients=work.mails,
        email_seconds=email_seconds,
        call_recipients=work.calls.total(),
        call_seconds=call_seconds,
        im_recipients=work.messages,
        unreachable=work.nobody,
        with_address=work.with_address,
        seconds=max(sms_seconds, email_seconds, call_seconds),
    )


def judged(
    one: Forecast,
    tariff: Tariff,
    each: Mapping[str, int],
    people: Mapping[Group, int],
    order: ChannelOrder = ChannelOrder(),
    *,
    now: datetime,
    deadline: datetime | None,
) -> Forecast:
    """The same against the deadline, if it began now, with what would do it where it is too late."""
    work = FirstAttempts.of(people, order, each)
    others = max(tariff.calling.ends(work.calls, now), now + timedelta(seconds=one.email_seconds))
    ends_at = max(tariff.texting.ends(work.segments, now), others)
    told = {"ends_at": ends_at, "deadline": deadline, "seconds": (ends_at - now).total_seconds()}
    if deadline is None or ends_at <= deadline:
        return one.model_copy(update=told | {"in_time": None if deadline is None else True})
    more = more_senders(tariff, work.segments, now, deadline) if others <= deadline else None
    mailed = FirstAttempts.of(people, _email_first(order), each)
    by_email = max(
        mailed.mails / tariff.emails_per_second,
        *(
            (pace.ends(units, now) - now).total_seconds()
            for pace, units in ((tariff.texting, mailed.segments), (tariff.calling, mailed.calls))
        ),
    )
    return one.model_copy(
        update=told
        | {
            "in_time": False,
            "late_seconds": (ends_at - deadline).total_seconds(),
            "more_senders": more,
            "by_email_seconds": by_email if mailed.mails > work.mails else None,
        }
    )


def _email_first(order: ChannelOrder) -> ChannelOrder:
    return ChannelOrder.plain(("email", *(name for name in order.usual if name != "email")))


def more_senders(tariff: Tariff, segments: Mapping[str, float], now: datetime, deadline: datetime) -> int | None:
    """How many more senders like those there are would make it in time; None when no number would."""

    def late(senders: int) -> bool:
        return tariff.model_copy(update={"sms_senders": senders}).texting.ends(segments, now) > deadline

    low, high = tariff.sms_senders, 10_000  # too few, enough
    if late(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if late(middle) else (low, middle)
    return high - tariff.sms_senders if high > tariff.sms_senders else None
