"""The notifier put together: one call at the front door gives every part that talks to the outside or runs a loop.

What `build_notifier` is given:

- `worker` names this process among those running at the same time on one database. A process that comes back under the
  name of its former life takes up its work at once; under another name, when the leases have run out.
- `batch` is how many single deliveries are worked on at once, `batch_size` how many positions of an audience make a
  batch of first attempts. `hints` may announce batches to workers.
- `channels`: a channel may have several providers, each with limits of its own.
- `public_url` is where pages of notices are reached.
- `extra_numbers` are patterns of E.164 numbers accepted beyond the real ones: the simulated ranges, where channels are
  simulated, and nothing elsewhere.
- `deadline` tells by when the law wants the people told whom these duties of an incident are owed to; `quiet` the hours
  in which nobody is disturbed.
- Campaigns of `partition_from` recipients and more get partitions of their own on PostgreSQL (0: none); `keep_rows` and
  `export_first` as in `DeliveryRows`.
"""

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
    """Wire the notifier, by what the top of this file tells of each argument. The tables must exist."""
    base = _Base(engine, record, clock, keys, Vault(engine, keys, clock), Templates(template_root))
    people = _people(base, default_language, extra_numbers, limits)
    texts = _texts(base, people, public_url, unsubscribe)
    order = channel_order if isinstance(channel_order, ChannelOrder) else ChannelOrder.plain(channel_order)
    rules = _Rules(order, quiet, _deadline_of(deadline), Partitions(engine, threshold=partition_from))
    book = DeliveryBook(engine, clock, worker=worker, timing=timing)
    routes = _Routes(channels, drill_channels, rng, batch)
    sending = _sending(base, people, texts, rules, routes, book, batch_size, hints)
    return _together(
        base,
        people,
        sending,
        campaigns=_campaigns(base, people, texts, rules, sending.control, demand, tariff),
        rows=DeliveryRows(engine, record, clock, rules.partitions, keep=keep_rows, export_first=export_first),
        answers=_answers(base, people, texts, book, callbacks, twilio_tokens, return_paths, unsubscribe),
        public=texts.public,
        letters=_letters(base, texts, book, time_zone, letter_sender, letter_fonts),
        to_public=_to_public(base, public_url, public_demand),
        hints=hints,
    )


@dataclass(frozen=True, slots=True)
class _Base:
    """What nearly every part stands on."""

    engine: Engine
    record: Record
    clock: Clock
    keys: MasterKeys
    vault: Vault
    templates: Templates


@dataclass(frozen=True, slots=True)
class _People:
    """Who may be written to, and who may not."""

    audiences: Audiences
    suppressions: SuppressionBook
    learner: Learner


@dataclass(frozen=True, slots=True)
class _Texts:
    """What people are told."""

    public: PublicNotices | None
    notices: Notices
    letters: Letters


@dataclass(frozen=True, slots=True)
class _Rules:
    """By which channels, at which hours and by when people are told, and where the rows of it lie."""

    order: ChannelOrder
    quiet: QuietHours
    deadline_of: Callable[[Campaign], datetime | None]
    partitions: Partitions


@dataclass(frozen=True, slots=True)
class _Routes:
    """How messages leave this process."""

    channels: Mapping[str, Channel | Sequence[Provider]]
    drill_channels: Mapping[str, Channel]
    rng: random.Random
    batch: int


@dataclass(frozen=True, slots=True)
class _Sending:
    """What plans, sends and calls off."""

    book: DeliveryBook
    planner: Planner
    control: SendingControl
    engine: DeliveryEngine


@dataclass(frozen=True, slots=True)
class _Answers:
    """What comes back from providers, mail servers and people."""

    receipts: TwilioReceipts | None
    inbound: TwilioInbound | None
    bounces: BounceDesk | None
    unsubscribing: Unsubscribing | None
    acknowledging: Acknowledging | None


def _people(base: _Base, default_language: str, extra_numbers: Sequence[str], limits: ImportLimits | None) -> _People:
    manifest = base.templates.get(DEFAULT_TEMPLATE).manifest
    choose = language_chooser(manifest.languages, manifest.fallbacks, default_language or manifest.default_language)
    checker = RowChecker(choose, extra_numbers=extra_numbers)
    suppressions = SuppressionBook(base.engine, SuppressionKey(base.engine, base.keys), base.clock)
    return _People(
        audiences=Audiences(base.engine, base.vault, base.clock, checker, limits or ImportLimits()),
        suppressions=suppressions,
        learner=Learner(suppressions, base.vault),
    )


def _texts(base: _Base, people: _People, public_url: str | None, unsubscribe: UnsubscribeUrls | None) -> _Texts:
    public = (
        PublicNotices(base.engine, base.clock, key=base.keys.derive(NOTICE_CODE), public_url=public_url)
        if public_url is not None
        else None
    )
    notices = Notices(base.record, base.templates, public)
    return _Texts(public, notices, Letters(notices, base.vault, people.suppressions, unsubscribe))


def _deadline_of(
    deadline: Callable[[UUID, Sequence[str]], datetime | None],
) -> Callable[[Campaign], datetime | None]:
    """By when a campaign has to be out; the law asks nothing of drills."""
    return lambda campaign: None if campaign.drill else deadline(campaign.incident_id, campaign.duties)


def _sending(
    base: _Base,
    people: _People,
    texts: _Texts,
    rules: _Rules,
    routes: _Routes,
    book: DeliveryBook,
    batch_size: int,
    hints: BatchHints | None,
) -> _Sending:
    engine, record, clock = base.engine, base.record, base.clock
    planner = Planner(
        engine,
        record,
        people.audiences,
        clock,
        channel_order=rules.order,
        batch_size=batch_size,
        hints=hints,
        partitions=rules.partitions,
        quiet=rules.quiet,
        deadline=rules.deadline_of,
    )
    reference_key = base.keys.derive("notice-reference")
    cancelling = Cancelling(book)
    delivery_engine = DeliveryEngine(
        book,
        BatchBook(book, people.audiences, reference_key=reference_key, hints=hints, quiet=rules.quiet),
        planner,
        texts.letters,
        Finisher(engine, record, clock),
        clock,
        channels=routes.channels,
        drill_channels=routes.drill_channels,
        rng=routes.rng,
        batch=routes.batch,
        pace=PaceBook(engine, clock),
        quiet=rules.quiet,
        cancelling=cancelling,
        measuring=Measuring(engine, record, clock, book.timing, rules.deadline_of),
    )
    return _Sending(book, planner, SendingControl(engine, clock, cancelling), delivery_engine)


def _campaigns(
    base: _Base,
    people: _People,
    texts: _Texts,
    rules: _Rules,
    control: SendingControl,
    demand: Callable[[UUID], Demand],
    tariff: Tariff,
) -> CampaignService:
    return CampaignService(
        base.record,
        people.audiences,
        base.templates,
        demand,
        texts.public.check_of if texts.public is not None else lambda _campaign_id: None,
        tariff,
        control.apply,
        rules.deadline_of,
        rules.order,
    )


def _answers(
    base: _Base,
    people: _People,
    texts: _Texts,
    book: DeliveryBook,
    callbacks: CallbackUrls | None,
    tokens: Sequence[str],
    return_paths: ReturnPaths | None,
    unsubscribe: UnsubscribeUrls | None,
) -> _Answers:
    twilio = callbacks if tokens else None
    return _Answers(
        receipts=TwilioReceipts(book, twilio, tokens) if twilio is not None else None,
        inbound=TwilioInbound(people.suppressions, twilio.public_url, tokens) if twilio is not None else None,
        bounces=BounceDesk(book, return_paths, people.learner) if return_paths is not None else None,
        unsubscribing=Unsubscribing(base.engine, texts.notices, people.learner, unsubscribe)
        if unsubscribe is not None
        else None,
        acknowledging=Acknowledging(book, texts.public) if texts.public is not None else None,
    )


def _letters(
    base: _Base, texts: _Texts, book: DeliveryBook, time_zone: str, sender: str, fonts: Path | None
) -> LetterDesk:
    return LetterDesk(
        base.engine,
        base.record,
        book,
        texts.notices,
        press=LetterPress(texts.letters, time_zone=time_zone),
        drill_press=DrillPress(time_zone=time_zone),
        sender=lambda: sender,
        fonts=fonts,
    )


def _to_public(base: _Base, public_url: str | None, demand: Callable[[UUID], Demand]) -> NoticesToPublic | None:
    if public_url is None:
        return None
    return NoticesToPublic(
        base.engine,
        base.record,
        base.templates,
        key=base.keys.derive(NOTICE_CODE),
        board=PublicBoard(base.engine, public_url=public_url),
        drill_board=DrillBoard(),
        demand=demand,
    )


def _together(
    base: _Base,
    people: _People,
    sending: _Sending,
    *,
    campaigns: CampaignService,
    rows: DeliveryRows,
    answers: _Answers,
    public: PublicNotices | None,
    letters: LetterDesk,
    to_public: NoticesToPublic | None,
    hints: BatchHints | None,
) -> Notifier:
    return Notifier(
        vault=base.vault,
        audiences=people.audiences,
        templates=base.templates,
        campaigns=campaigns,
        book=sending.book,
        engine=sending.engine,
        relay=DeliveryRelay(base.engine, base.record, base.clock),
        rows=rows,
        follower=sending_follower(base.record, sending.planner, sending.control),
        receipts=answers.receipts,
        inbound=answers.inbound,
        suppressions=people.suppressions,
        suppression_follower=suppression_follower(base.record, base.engine, people.learner),
        bounces=answers.bounces,
        unsubscribing=answers.unsubscribing,
        public=public,
        acknowledging=answers.acknowledging,
        letters=letters,
        to_public=to_public,
        hints=hints,
    )
