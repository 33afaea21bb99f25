"""The notifier put together: one call at the front door gives every part that talks to the outside or runs a loop."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine

from incidents.clock import Clock
from incidents.record import Follower, Record
from notifier.audience import Audiences, ImportLimits, RowChecker, language_chooser
from notifier.bounces.desk import BounceDesk
from notifier.campaigns.campaign import Demand
from notifier.campaigns.forecast import Tariff
from notifier.campaigns.service import CampaignService
from notifier.channels.channel import Channel
from notifier.channels.return_path import ReturnPaths
from notifier.channels.unsubscribe import UnsubscribeUrls
from notifier.deliveries import (
    BatchBook,
    BatchHints,
    DeliveryBook,
    DeliveryEngine,
    DeliveryRelay,
    Finisher,
    Letters,
    Notices,
    Planner,
    Timing,
    sending_follower,
)
from notifier.deliveries.planning import BATCH_SIZE
from notifier.public.acknowledging import Acknowledging
from notifier.public.code import PURPOSE as NOTICE_CODE
from notifier.public.notices import PublicNotices
from notifier.receipts.callback_url import CallbackUrls
from notifier.receipts.optout import TwilioInbound
from notifier.receipts.twilio import TwilioReceipts
from notifier.suppression import SuppressionBook, SuppressionKey
from notifier.suppression.learning import Learner, suppression_follower
from notifier.suppression.unsubscribing import Unsubscribing
from notifier.templates import Templates
from notifier.vault import MasterKeys, Vault

DEFAULT_TEMPLATE = "personal-data-breach"


@dataclass(frozen=True, slots=True)
class Notifier:
    """The parts. `follower` and `relay` are synchronous loops (`run_once`), `engine` an asynchronous one."""

    vault: Vault
    audiences: Audiences
    templates: Templates
    campaigns: CampaignService
    book: DeliveryBook
    engine: DeliveryEngine
    relay: DeliveryRelay
    follower: Follower
    receipts: TwilioReceipts | None
    inbound: TwilioInbound | None
    """Text messages that people send back."""
    suppressions: SuppressionBook
    suppression_follower: Follower
    """Puts addresses on the list that sending showed to belong there."""
    bounces: BounceDesk | None
    """Mail that comes back; None where no address is set for it."""
    unsubscribing: Unsubscribing | None
    public: PublicNotices | None
    """Codes and pages of notices; None where no public address is known."""
    acknowledging: Acknowledging | None


def build_notifier(
    engine: Engine,
    record: Record,
    clock: Clock,
    *,
    keys: MasterKeys,
    channels: Mapping[str, Channel],
    drill_channels: Mapping[str, Channel],
    worker: str,
    rng: random.Random,
    callbacks: CallbackUrls | None = None,
    twilio_tokens: Sequence[str] = (),
    return_paths: ReturnPaths | None = None,
    unsubscribe: UnsubscribeUrls | None = None,
    public_url: str | None = None,
    timing: Timing | None = None,
    limits: ImportLimits | None = None,
    extra_numbers: Sequence[str] = (),
    template_root: Path | None = None,
    channel_order: Sequence[str] = ("sms", "email"),
    batch: int = 64,
    batch_size: int = BATCH_SIZE,
    hints: BatchHints | None = None,
    demand: Callable[[UUID], Demand] = lambda _incident_id: Demand(),
    tariff: Tariff = Tariff(),
    default_language: str = "",
) -> Notifier:
    """Wire the notifier.

    `worker` names this process among those running at the same time on one database. A process that comes back under
    the name of its former life takes up its work at once; under another name, when the leases have run out. `batch` is
    how many single deliveries are worked on at once, `batch_size` how many positions of an audience make a batch of
    first attempts. `hints` may announce batches to workers. `public_url` is where pages of notices are reached.
    `extra_numbers` are patterns of E.164 numbers accepted beyond the real ones: the simulated ranges, where
    channels are simulated, and nothing elsewhere. The tables must exist.
    """
    vault = Vault(engine, keys, clock)
    templates = Templates(template_root)
    manifest = templates.get(DEFAULT_TEMPLATE).manifest
    choose = language_chooser(manifest.languages, manifest.fallbacks, default_language or manifest.default_language)
    audiences = Audiences(
        engine, vault, clock, RowChecker(choose, extra_numbers=extra_numbers), limits or ImportLimits()
    )
    book = DeliveryBook(engine, clock, worker=worker, timing=timing)
    suppressions = SuppressionBook(engine, SuppressionKey(engine, keys), clock)
    learner = Learner(suppressions, vault)
    public = (
        PublicNotices(engine, clock, key=keys.derive(NOTICE_CODE), public_url=public_url)
        if public_url is not None
        else None
    )
    notices = Notices(record, templates, public)
    reference_key = keys.derive("notice-reference")
    batches = BatchBook(book, audiences, reference_key=reference_key, hints=hints)
    planner = Planner(engine, record, audiences, clock, channel_order=channel_order, batch_size=batch_size, hints=hints)
    return Notifier(
        vault=vault,
        audiences=audiences,
        templates=templates,
        campaigns=CampaignService(
            record,
            audiences,
            templates,
            demand,
            public.check_of if public is not None else lambda _campaign_id: None,
            tariff,
        ),
        book=book,
        engine=DeliveryEngine(
            book,
            batches,
            planner,
            Letters(notices, vault, suppressions, unsubscribe),
            Finisher(engine, record, clock),
            clock,
            channels=channels,
            drill_channels=drill_channels,
            rng=rng,
            batch=batch,
        ),
        relay=DeliveryRelay(engine, record, clock),
        follower=sending_follower(record, planner),
        receipts=TwilioReceipts(book, callbacks, twilio_tokens) if callbacks is not None and twilio_tokens else None,
        inbound=TwilioInbound(suppressions, callbacks.public_url, twilio_tokens)
        if callbacks is not None and twilio_tokens
        else None,
        suppressions=suppressions,
        suppression_follower=suppression_follower(record, engine, learner),
        bounces=BounceDesk(book, return_paths, learner) if return_paths is not None else None,
        unsubscribing=Unsubscribing(engine, notices, learner, unsubscribe) if unsubscribe is not None else None,
        public=public,
        acknowledging=Acknowledging(book, public) if public is not None else None,
    )
