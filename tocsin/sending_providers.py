"""The providers of each channel as the settings want them, with the limits that are kept towards each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from incidents.clock import Clock
from incidents.facts import OrganisationProfile
from notifier.campaigns.forecast import Tariff
from notifier.channels.channel import Channel
from notifier.channels.email import EmailChannel, EmailSettings
from notifier.channels.return_path import ReturnPaths
from notifier.channels.sms import SmsChannel
from notifier.channels.sms import SmsSettings as SmsAccount
from notifier.channels.twilio_http import PooledTwilioHttpClient
from notifier.pacing.limits import Limits
from notifier.pacing.provider import Provider
from notifier.receipts.callback_url import CallbackUrls
from tocsin.settings import Settings, SmsMode
from tocsin.settings_sending import FIRST_SMS, FIRST_SMTP, SmsProviderSettings, SmtpProviderSettings

SECURITY = {"starttls": "starttls", "implicit": "tls", "none": "plain"}


def with_providers(
    settings: Settings,
    channels: Mapping[str, Channel],
    clock: Clock,
    callbacks: CallbackUrls,
    profile: OrganisationProfile,
    paths: ReturnPaths | None,
) -> dict[str, Channel | Sequence[Provider]]:
    """The same channels, each with the limits of its provider, and further providers where the settings name some."""
    found: dict[str, Channel | Sequence[Provider]] = dict(channels)
    if (sms := channels.get("sms")) is not None:
        first = Provider(FIRST_SMS, sms, sms_limits(settings), sender=_sender(settings))
        others = (_text_provider(one, callbacks) for one in settings.sms_providers)
        found["sms"] = (first, *others)
    if (voice := channels.get("voice")) is not None:
        found["voice"] = (Provider("voice", voice, _calls(settings), sender=_sender(settings)),)
    if (email := channels.get("email")) is not None:
        first = Provider(FIRST_SMTP, email, settings.pacing.email())
        more = (_mail_provider(settings, one, clock, profile, paths) for one in settings.smtp_providers)
        found["email"] = (first, *more)
    return found


def sms_limits(settings: Settings) -> Limits:
    """Those of the account in `[sms]`. A stand-in takes what it is given, unless a limit is set."""
    pacing = settings.pacing
    if settings.sms.mode is SmsMode.SIMULATED and pacing.sms_segments_per_second is None:
        return Limits(by_country=pacing.sms_by_country)
    return pacing.sms(_sender(settings))


def tariff(settings: Settings) -> Tariff:
    """What sending costs and how fast it may go, for forecasts."""
    sms = [sms_limits(settings), *(one.limits() for one in settings.sms_providers if not one.standby)]
    senders = settings.pacing.sms_senders + sum(one.senders for one in settings.sms_providers if not one.standby)
    email = [settings.pacing.email(), *(one.limits() for one in settings.smtp_providers if not one.standby)]
    return settings.forecast.tariff(sms, senders, email, _calls(settings), settings.quiet_hours.hours())


def _sender(settings: Settings) -> str:
    return settings.sms.messaging_service_sid or settings.sms.sender


def _calls(settings: Settings) -> Limits:
    simulated = settings.sms.mode is SmsMode.SIMULATED
    return Limits() if simulated else Limits(per_second=settings.pacing.calls_per_second)


def _text_provider(one: SmsProviderSettings, callbacks: CallbackUrls) -> Provider:
    account = SmsAccount(
        account_sid=one.account_sid,
        auth_token=one.auth_token.get_secret_value(),
        sender=one.sender or None,
        messaging_service_sid=one.messaging_service_sid or None,
    )
    channel = SmsChannel(account, PooledTwilioHttpClient(one.base_url), callbacks)
    return Provider(one.name, channel, one.limits(), one.standby, one.messaging_service_sid or one.sender)


def _mail_provider(
    settings: Settings,
    one: SmtpProviderSettings,
    clock: Clock,
    profile: OrganisationProfile,
    paths: ReturnPaths | None,
) -> Provider:
    server = EmailSettings(
        host=one.host,
        port=one.port,
        sender_address=settings.smtp.sender,
        sender_name=profile.name,
        security=SECURITY[one.tls],  # type: ignore[arg-type]
        username=one.username or None,
        password=one.password.get_secret_value() or None,
        cert_bundle=str(one.ca_file) if one.ca_file else None,
        return_paths=paths,
        signer=settings.dkim.signer(settings.smtp.sender),
    )
    return Provider(one.name, EmailChannel(server, clock), one.limits(), one.standby)
