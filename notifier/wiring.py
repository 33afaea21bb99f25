"""The notifier put together: one call at the front door gives every part that talks to the outside or runs a loop."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine

from incidents.clock import Clock
from incidents.record import Follower, Record
from notifier.audience import Audiences, ImportLimits, RowChecker, language_chooser
from notifier.bounces.desk import BounceDesk
from notifier.campaigns.campaign import Campaign, Demand
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
    SendingControl,
    Timing,
    sending_follower,
)
from notifier.deliveries.cancelling import Cancelling
from notifier.deliveries.measuring import Measuring
from notifier.deliveries.order import ChannelOrder
from notifier.deliveries.partitions import Partitions
from notifier.deliveries.planning import BATCH_SIZE
from notifier.deliveries.retention import DeliveryRows
from notifier.letters.desk import LetterDesk
from notifier.letters.press import DrillPress, LetterPress
from notifier.pacing.book import PaceBook
from notifier.pacing.provider import Provider
from notifier.pacing.quiet import QuietHours
from notifier.public.acknowledging import Acknowledging
from notifier.public.code import PURPOSE as NOTICE_CODE
from notifier.public.notices import PublicNotices
from notifier.public_notice.boards import DrillBoard, PublicBoard
from notifier.public_notice.service import NoticesToPublic
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
    rows: DeliveryRows
    """What becomes of the rows of finished campaigns."""
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
    letters: LetterDesk
    to_public: NoticesToPublic | None = None
    """Public notices; None where no public address is known."""
    hints: BatchHints | None = None
    """What announces batches to workers, where something does."""


def build_notifier(
    engine: Engine,
    record: Record,
    clock: Clock,
    *,
    keys: MasterKeys,
    channels: Mapping[str, Channel | Sequence[Provider]],
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
    channel_order: ChannelOrder | Sequence[str] = ChannelOrder(),
    batch: int = 64,
    batch_size: int = BATCH_SIZE,
    hints: BatchHints | None = None,
    demand: Callable[[UUID], Demand] = lambda _incident_id: Demand(),
    public_demand: Callable[[UUID], Demand] = lambda _incident_id: Demand(),
    tariff: Tariff = Tariff(),
    quiet: QuietHours = QuietHours(),
    deadline: Callable[[UUID, Sequence[str]], datetime | None] = lambda _incident_id, _duties: None,
    default_language: str = "",
    letter_sender: str = "",
    letter_fonts: Path | None = None,
    time_zone: str = "UTC",
    partition_from: int = 0,
    keep_rows: timedelta | None = None,
    export_first: bool = True,
) -> Notifier:
    """Wire the notifier.

    `worker` names this process among those running at the same time on one database. A process that comes back under
    the name of its former life takes up its work at once; under another name, when the leases have run out. `batch` is
    how many single deliveries are worked on at once, `batch_size` how many positions of an audience make a batch of
    first attempts. `hints` may announce batches to workers. `public_url` is where pages of notices are reached.
    `extra_numbers` are patterns of E.164 numbers accepted beyond the real ones: the simulated ranges, where
    channels are simulated, and nothing elsewhere. The tables must exist. Campaigns of `partition_from` recipients and
    more get partitions of their own on PostgreSQL (0: none); `keep_rows` and `export_first` as in `DeliveryRows`.
    A channel may have several providers, each with limits of its own. `deadline` tells by when the law wants the people
    told whom these duties of an incident are owed to; `quiet` the hours in which nobody is disturbed.
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
    batches = BatchBook(book, audiences, reference_key=reference_key, hints=hints, quiet=quiet)
    partitions = Partitions(engine, threshold=partition_from)

    order = channel_order if isinstance(channel_order, ChannelOrder) else ChannelOrder.plain(channel_order)

    def deadline_of(campaign: Campaign) -> datetime | None:
        return None if campaign.drill else deadline(campaign.incident_id, campaign.duties)

    planner = Planner(
        engine,
        record,
        audiences,
        clock,
        channel_order=order,
        batch_size=batch_size,
        hints=hints,
        partitions=partitions,
        quiet=quiet,
        deadline=deadline_of,
    )
    cancelling = Cancelling(book)
    control = SendingControl(engine, clock, cancelling)
    letters = Letters(notices, vault, suppressions, unsubscribe)
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
            control.apply,
            deadline_of,
            order,
        ),
        book=book,
        engine=DeliveryEngine(
            book,
            batches,
            planner,
            letters,
            Finisher(engine, record, clock),
            clock,
            channels=channels,
            drill_channels=drill_channels,
            rng=rng,
            batch=batch,
            pace=PaceBook(engine, clock),
            quiet=quiet,
            cancelling=cancelling,
            measuring=Measuring(engine, record, clock, book.timing, deadline_of),
        ),
        relay=DeliveryRelay(engine, record, clock),
        rows=DeliveryRows(engine, record, clock, partitions, keep=keep_rows, export_first=export_first),
        follower=sending_follower(record, planner, control),
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
        letters=LetterDesk(
            engine,
            record,
            book,
            notices,
            press=LetterPress(letters, time_zone=time_zone),
            drill_press=DrillPress(time_zone=time_zone),
            sender=lambda: letter_sender,
            fonts=letter_fonts,
        ),
        to_public=NoticesToPublic(
            engine,
            record,
            templates,
            key=keys.derive(NOTICE_CODE),
            board=PublicBoard(engine, public_url=public_url),
            drill_board=DrillBoard(),
            demand=public_demand,
        )
        if public_url is not None
        else None,
        hints=hints,
    )
