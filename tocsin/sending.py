"""The notifier as the settings want it: which channels there are, and where their servers are."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from incidents.clock import Clock
from incidents.facts import OrganisationProfile
from incidents.record import Record
from notifier.audience import ImportLimits
from notifier.campaigns.campaign import Demand
from notifier.channels import unsubscribe as unsubscribing
from notifier.channels.channel import Channel
from notifier.channels.drill import DrillChannel
from notifier.channels.email import EmailChannel, EmailSettings
from notifier.channels.return_path import PURPOSE, ReturnPaths
from notifier.channels.sms import SmsChannel
from notifier.channels.sms import SmsSettings as SmsAccount
from notifier.channels.twilio_http import PooledTwilioHttpClient
from notifier.channels.unsubscribe import UnsubscribeUrls
from notifier.channels.voice import VoiceChannel
from notifier.channels.voice import VoiceSettings as VoiceAccount
from notifier.deliveries import BatchHints, Timing
from notifier.receipts.callback_url import CallbackUrls
from notifier.wiring import Notifier, build_notifier
from tocsin.sending_providers import tariff, with_providers
from tocsin.settings import Settings, SmsMode, SmtpMode


def open_notifier(
    settings: Settings,
    *,
    worker: str,
    engine: Engine,
    record: Record,
    clock: Clock,
    profile: OrganisationProfile,
    timing: Timing | None = None,
    simulated_numbers: Sequence[str] = (),
    demand: Callable[[UUID], Demand],
    deadline: Callable[[UUID, Sequence[str]], datetime | None],
    public_demand: Callable[[UUID], Demand],
) -> Notifier:
    """Build the notifier. No connection is opened before the first message. `worker` is who claims deliveries."""
    keys = settings.master_keys()
    purpose = "callback-address"
    callbacks = CallbackUrls(settings.public_url, keys.derive(purpose), keys.derive_earlier(purpose))
    paths = _return_paths(settings)
    unsubscribe = UnsubscribeUrls(
        settings.public_url, keys.derive(unsubscribing.PURPOSE), keys.derive_earlier(unsubscribing.PURPOSE)
    )
    channels = _channels(settings, clock, callbacks, profile, paths)
    return build_notifier(
        engine,
        record,
        clock,
        keys=keys,
        channels=with_providers(settings, channels, clock, callbacks, profile, paths),
        drill_channels={name: DrillChannel(name) for name in {*channels, "sms", "email"}},
        channel_order=settings.channels.channel_order(channels),
        worker=worker,
        rng=random.SystemRandom(),
        callbacks=callbacks,
        twilio_tokens=_tokens(settings),
        return_paths=paths,
        unsubscribe=unsubscribe,
        public_url=settings.public_url,
        timing=settings.channels.timing(timing or Timing()).model_copy(update={"lease": settings.lease}),
        limits=ImportLimits(max_bytes=settings.audience.max_bytes, max_rows=settings.audience.max_rows),
        extra_numbers=simulated_numbers,
        demand=demand,
        public_demand=public_demand,
        tariff=tariff(settings),
        quiet=settings.quiet_hours.hours(),
        deadline=deadline,
        default_language=settings.audience.default_language,
        letter_sender=settings.letters.sender_line(profile),
        letter_fonts=settings.letters.fonts,
        time_zone=profile.time_zone,
        partition_from=settings.deliveries.partition_from,
        keep_rows=settings.deliveries.keep,
        export_first=settings.deliveries.export_first,
        hints=_hints(settings),
    )


def _hints(settings: Settings) -> BatchHints | None:
    if not settings.kafka.is_set:
        return None
    from tocsin.delivery_hints import DeliveryHints  # a client of Kafka is loaded only where there is one

    return DeliveryHints()


def _channels(
    settings: Settings,
    clock: Clock,
    callbacks: CallbackUrls,
    profile: OrganisationProfile,
    paths: ReturnPaths | None,
) -> Mapping[str, Channel]:
    channels: dict[str, Channel] = {}
    sms, smtp = settings.sms, settings.smtp
    if sms.mode is not SmsMode.NONE:
        account = SmsAccount(
            account_sid=sms.account_sid,
            auth_token=sms.auth_token.get_secret_value(),
            sender=sms.sender or None,
            messaging_service_sid=sms.messaging_service_sid or None,
        )
        channels["sms"] = SmsChannel(account, PooledTwilioHttpClient(sms.base_url), callbacks)
        if settings.voice.enabled:
            voice = settings.voice
            caller = VoiceAccount(
                account_sid=sms.account_sid,
                auth_token=sms.auth_token.get_secret_value(),
                sender=voice.sender or sms.sender,
                machine=voice.answering_machine,
                ring_seconds=voice.ring_seconds,
                concurrency=voice.at_once,
            )
            channels["voice"] = VoiceChannel(caller, PooledTwilioHttpClient(sms.base_url), callbacks)
    if services := settings.im.of_persons():
        channels["im"] = settings.im.channel(services)
    if smtp.mode is not SmtpMode.NONE:
        channels["email"] = email_channel(settings, clock, profile, paths=paths)
    return channels


def email_channel(
    settings: Settings,
    clock: Clock,
    profile: OrganisationProfile,
    *,
    connections: int = 8,
    paths: ReturnPaths | None = None,
) -> EmailChannel:
    """A channel to the mail server of the settings. Each event loop needs one of its own. `paths`: where its bounces
    go; without it, to the sender's own mailbox."""
    smtp = settings.smtp
    security = {"starttls": "starttls", "implicit": "tls", "none": "plain"}[smtp.tls]
    return EmailChannel(
        EmailSettings(
            host=smtp.host,
            port=smtp.port,
            sender_address=smtp.sender,
            sender_name=profile.name,
            security=security,  # type: ignore[arg-type]
            username=smtp.username or None,
            password=smtp.password.get_secret_value() or None,
            cert_bundle=str(smtp.ca_file) if smtp.ca_file else None,
            connections=connections,
            return_paths=paths,
            signer=settings.dkim.signer(smtp.sender),
        ),
        clock,
    )


def _return_paths(settings: Settings) -> ReturnPaths | None:
    if not settings.bounces.address:
        return None
    keys = settings.master_keys()
    return ReturnPaths(settings.bounces.address, keys.derive(PURPOSE), keys.derive_earlier(PURPOSE))


def _tokens(settings: Settings) -> Sequence[str]:
    if settings.sms.mode is SmsMode.NONE:
        return ()
    others = (one.auth_token for one in settings.sms_providers)
    tokens = (settings.sms.auth_token, settings.sms.auth_token_secondary, *others)
    return [token.get_secret_value() for token in tokens if token.get_secret_value()]
