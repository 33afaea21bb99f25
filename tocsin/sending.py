"""The wiring of sending: channels from the settings, the book, the planner and the engine of this worker."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine

from incidents.clock import Clock
from incidents.facts import OrganisationProfile
from incidents.record import Follower, Record
from notifier.audience import Audiences
from notifier.channels.channel import Channel
from notifier.channels.drill import DrillChannel
from notifier.channels.email import EmailChannel, EmailSettings
from notifier.channels.sms import SmsChannel
from notifier.channels.sms import SmsSettings as SmsAccount
from notifier.channels.twilio_http import PooledTwilioHttpClient
from notifier.deliveries import (
    DeliveryBook,
    DeliveryEngine,
    DeliveryRelay,
    Finisher,
    Notices,
    Planner,
    Timing,
    sending_follower,
)
from notifier.receipts.callback_url import CallbackUrls
from notifier.receipts.twilio import TwilioReceipts
from notifier.templates import Templates
from notifier.vault import MasterKeys, Vault
from tocsin.settings import Settings, SmsMode, SmtpMode

WORKER = "notifier-1"
"""The name under which this process claims deliveries. There is one sending worker in an embedded service; after a
restart it takes up its own claims at once instead of waiting for their leases to run out."""


@dataclass(frozen=True)
class Sending:
    """Everything that sends."""

    engine: DeliveryEngine
    relay: DeliveryRelay
    follower: Follower
    receipts: TwilioReceipts | None
    """None when there is no SMS channel, and so nobody who could report."""


def build_sending(
    settings: Settings,
    *,
    engine: Engine,
    record: Record,
    clock: Clock,
    audiences: Audiences,
    templates: Templates,
    vault: Vault,
    keys: MasterKeys,
    profile: OrganisationProfile,
    timing: Timing | None = None,
) -> Sending:
    """Build the notifier's moving parts. No connection is opened before the first message."""
    timing = (timing or Timing()).model_copy(update={"lease": settings.lease})
    book = DeliveryBook(engine, clock, worker=WORKER, timing=timing)
    planner = Planner(engine, record, audiences, clock, reference_key=keys.derive("notice-reference"))
    callbacks = CallbackUrls(settings.public_url, keys.derive("callback-address"))
    return Sending(
        engine=DeliveryEngine(
            book,
            planner,
            Notices(record, templates),
            Finisher(engine, record, clock),
            vault,
            clock,
            channels=_channels(settings, clock, callbacks, profile),
            drill_channels={name: DrillChannel(name) for name in ("sms", "email")},
            rng=random.SystemRandom(),
        ),
        relay=DeliveryRelay(engine, record, clock),
        follower=sending_follower(record, planner),
        receipts=_receipts(settings, book, callbacks),
    )


def _channels(
    settings: Settings, clock: Clock, callbacks: CallbackUrls, profile: OrganisationProfile
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
    if smtp.mode is not SmtpMode.NONE:
        security = {"starttls": "starttls", "implicit": "tls", "none": "plain"}[smtp.tls]
        channels["email"] = EmailChannel(
            EmailSettings(
                host=smtp.host,
                port=smtp.port,
                sender_address=smtp.sender,
                sender_name=profile.name,
                security=security,  # type: ignore[arg-type]
                username=smtp.username or None,
                password=smtp.password.get_secret_value() or None,
                cert_bundle=str(smtp.ca_file) if smtp.ca_file else None,
            ),
            clock,
        )
    return channels


def _receipts(settings: Settings, book: DeliveryBook, callbacks: CallbackUrls) -> TwilioReceipts | None:
    sms = settings.sms
    if sms.mode is SmsMode.NONE:
        return None
    tokens = (sms.auth_token.get_secret_value(), sms.auth_token_secondary.get_secret_value())
    return TwilioReceipts(book, callbacks, [token for token in tokens if token])
