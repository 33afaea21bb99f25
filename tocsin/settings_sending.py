"""Settings of how sending is controlled: `[pacing]`, `[quiet_hours]`, `[[sms_providers]]`, `[[smtp_providers]]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import time
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, StringConstraints, field_validator

from incidents.errors import FieldFault
from notifier.pacing.limits import ANYWHERE, Limits, kind_of
from notifier.pacing.quiet import Hours, QuietHours
from tocsin.settings_section import Section, is_loopback

ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")]
FIRST_SMS, FIRST_SMTP = "sms", "smtp"
"""Names of the providers that `[sms]` and `[smtp]` set."""


def _checked_countries(given: dict[str, float]) -> dict[str, float]:
    for country, rate in given.items():
        if country != ANYWHERE and not (len(country) == 2 and country.isascii() and country.isupper()):
            raise ValueError(f"{country[:10]!r} is neither a country code of two letters, such as CN, nor `*`")
        if not 0 < rate <= 100_000:
            raise ValueError(f"the rate for {country} must be more than 0")
    return given


class PacingSettings(Section):
    """How fast providers are handed messages. All processes together keep to it."""

    sms_segments_per_second: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="Segments a second that one sender passes; unset: by its kind (long code 1, toll-free 3, number of "
        "another country 10, short code 100).",
    )
    sms_senders: int = Field(
        1, ge=1, le=10_000, description="Senders that share the text messages, such as numbers of a messaging service."
    )
    sms_by_country: dict[str, float] = Field(
        {}, description="Segments a second to a country, such as `CN = 5`; `*`: to each other country."
    )
    calls_per_second: float = Field(1.0, gt=0, le=1_000, description="Calls begun a second.")
    emails_per_second: float | None = Field(
        None, gt=0, le=100_000, description="Mails a second; unset: as fast as the mail server takes them."
    )

    _countries = field_validator("sms_by_country")(_checked_countries)

    def sms(self, sender: str) -> Limits:
        """The limits of text messages from this sender."""
        each = self.sms_segments_per_second or kind_of(sender).segments_per_second
        return Limits(per_second=each * self.sms_senders, by_country=self.sms_by_country)

    def email(self) -> Limits:
        """The limits of mail."""
        return Limits(per_second=self.emails_per_second)


class QuietHoursSettings(Section):
    """Hours in which people are not disturbed, by the clock of the country that a telephone number belongs to; where it
    has several zones, by the strictest. A notice that would miss its legal deadline by waiting does not wait."""

    channels: tuple[Literal["sms", "voice", "im"], ...] = Field(
        (), max_length=3, description="Channels that keep them, such as `sms` and `voice`; none: they are not kept."
    )
    start: time = Field(time(21), description="When they begin, such as `21:00`.")
    end: time = Field(time(8), description="When they end.")
    zone: str = Field("UTC", max_length=60, description="Time zone for people whose country is not known.")

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"{name[:60]!r} is no time zone, such as Asia/Shanghai")
        return name

    def hours(self) -> QuietHours:
        """The same, as the notifier takes it."""
        return QuietHours({name: Hours(self.start, self.end) for name in self.channels}, self.zone)


class SmsProviderSettings(Section):
    """Another account for text messages, beside `[sms]`."""

    name: ProviderName = Field(description="Names it in deliveries and pages.")
    standby: bool = Field(False, description="Used only while no other works; else all share the messages.")
    account_sid: str = Field(description="Twilio account, `AC...`.")
    auth_token: SecretStr = Field(SecretStr(""), description="Its token. A secret.")
    auth_token_file: Path | None = Field(None, description="File that holds `auth_token`.")
    sender: str = Field("", description="Sending number (E.164), short code or name.")
    messaging_service_sid: str = Field("", description="Messaging Service, `MG...`; used instead of `sender`.")
    base_url: str = Field("https://api.twilio.com", description="Where its API is.")
    segments_per_second: float | None = Field(None, gt=0, le=10_000, description="Of one sender; unset: by its kind.")
    senders: int = Field(1, ge=1, le=10_000, description="Senders that share its messages.")
    by_country: dict[str, float] = Field({}, description="Segments a second by country; `*`: each other country.")

    _countries = field_validator("by_country")(_checked_countries)

    def limits(self) -> Limits:
        """Its limits."""
        each = self.segments_per_second or kind_of(self.messaging_service_sid or self.sender).segments_per_second
        return Limits(per_second=each * self.senders, by_country=self.by_country)


class SmtpProviderSettings(Section):
    """Another mail server, beside `[smtp]`; its mail comes from the same sender."""

    name: ProviderName = Field(description="Names it in deliveries and pages.")
    standby: bool = Field(False, description="Used only while no other works; else all share the mail.")
    host: str = Field(description="Its host.")
    port: int = Field(587, ge=1, le=65535, description="Its port.")
    tls: Literal["starttls", "implicit", "none"] = Field("starttls", description="How the connection is encrypted.")
    ca_file: Path | None = Field(None, description="Certificates to trust besides the system's.")
    username: str = Field("", description="User for AUTH; empty for none.")
    password: SecretStr = Field(SecretStr(""), description="Password for AUTH. A secret.")
    password_file: Path | None = Field(None, description="File that holds `password`.")
    emails_per_second: float | None = Field(None, gt=0, le=100_000, description="Mails a second; unset: as they go.")

    def limits(self) -> Limits:
        """Its limits."""
        return Limits(per_second=self.emails_per_second)


def provider_faults(
    sms: Sequence[SmsProviderSettings], smtp: Sequence[SmtpProviderSettings], *, with_sms: bool, with_smtp: bool
) -> Iterator[FieldFault]:
    """What would not work, or not be safe."""
    for field, providers, first, there in (
        ("sms_providers", sms, FIRST_SMS, with_sms),
        ("smtp_providers", smtp, FIRST_SMTP, with_smtp),
    ):
        names = [first, *(provider.name for provider in providers)]
        if providers and not there:
            yield FieldFault(field, f"they come beside `[{first}]`, which is not set")
        if len(set(names)) != len(names):
            yield FieldFault(field, f"each needs a name of its own, other than {first!r}")
    for place, account in enumerate(sms):
        if not account.account_sid.startswith("AC"):
            yield FieldFault(f"sms_providers.{place}.account_sid", "a Twilio account starts with AC")
        if not account.auth_token.get_secret_value():
            yield FieldFault(f"sms_providers.{place}.auth_token", "missing")
        if not (account.sender or account.messaging_service_sid):
            yield FieldFault(f"sms_providers.{place}.sender", "set sender or messaging_service_sid")
        if urlsplit(account.base_url).scheme != "https":
            yield FieldFault(f"sms_providers.{place}.base_url", "must be https")
    for place, server in enumerate(smtp):
        if server.tls == "none" and not is_loopback(server.host):
            yield FieldFault(f"smtp_providers.{place}.tls", "mail to another machine must be encrypted")
