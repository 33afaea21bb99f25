"""From a claimed delivery to the message that a channel sends: the person's contact and the notice, put together."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import cast
from uuid import UUID

import structlog

from incidents.errors import TocsinError
from notifier.channels.channel import Outgoing
from notifier.channels.personal import EmailWords, PersonalEmail, SmsWords, email_words, is_plain, sms_words
from notifier.channels.unsubscribe import UnsubscribeUrls
from notifier.deliveries.moves import message_keys
from notifier.deliveries.notices import KEPT as CAMPAIGNS
from notifier.deliveries.notices import Notice, Notices
from notifier.suppression import SuppressionBook
from notifier.templates import RenderedEmail, RenderedSms, RenderedVoice
from notifier.vault import Contact, ErasedContact, Vault

log = structlog.get_logger(__name__)

KEPT = CAMPAIGNS * 8
"""Texts kept in memory: a few languages by each channel for every campaign that is kept."""

Contacts = dict[UUID, Contact | ErasedContact]
Words = SmsWords | EmailWords | RenderedVoice | None

_message_keys = lru_cache(maxsize=CAMPAIGNS)(message_keys)


class Letters:
    """Reads contacts and writes notices. `contacts` and `notice` touch the database: call them from threads."""

    def __init__(
        self,
        notices: Notices,
        vault: Vault,
        suppressions: SuppressionBook | None = None,
        unsubscribe: UnsubscribeUrls | None = None,
    ) -> None:
        self._notices = notices
        self._vault = vault
        self._suppressions = suppressions
        self._unsubscribe = unsubscribe
        self._words: OrderedDict[tuple[UUID, str, str], Words] = OrderedDict()
        self._lock = threading.Lock()
        """Of `_words`: messages are made in several threads."""

    def contacts(self, ids: Sequence[UUID]) -> Contacts:
        """The contacts of these people, without those that cannot be read."""
        try:
            return self._vault.read_many(ids)
        except TocsinError:
            found: Contacts = {}
            for recipient in ids:  # one damaged row must not hold up the others
                try:
                    found[recipient] = self._vault.read(recipient)
                except TocsinError as error:
                    log.error("delivery.contact-unreadable", recipient=str(recipient), reason=error.code)
            return found

    def notice(self, campaign_id: UUID) -> Notice:
        """The campaign's notice. TocsinError when it may not or cannot be sent."""
        return self._notices.of(campaign_id)

    def withheld(self, notice: Notice, channel: str, addresses: Mapping[UUID, str]) -> Mapping[UUID, str]:
        """Whom of these not to write to by this channel, and why."""
        if self._suppressions is None:
            return {}
        return self._suppressions.withheld(
            addresses, channel=channel, category=notice.category, overridden=notice.overrides
        )

    def writer(self, notice: Notice, campaign_id: UUID, channel: str) -> Writer:
        """What writes the messages of one campaign and channel."""
        may_unsubscribe = channel == "email" and notice.may_unsubscribe
        return Writer(
            notice,
            campaign_id,
            channel,
            lambda language: self._words_of(notice, campaign_id, channel, language),
            self._unsubscribe if may_unsubscribe else None,
        )

    def _words_of(self, notice: Notice, campaign_id: UUID, channel: str, language: str) -> Words:
        """The words rendered once for all; None where each person's are rendered singly."""
        key = (campaign_id, channel, language)
        with self._lock:
            if key not in self._words:
                self._words[key] = _rendered_once(notice, channel, language)
                while len(self._words) > KEPT:
                    self._words.popitem(last=False)
            return self._words[key]


class Writer:
    """Writes the messages of one campaign and channel, one person after the other."""

    def __init__(
        self,
        notice: Notice,
        campaign_id: UUID,
        channel: str,
        words_in: Callable[[str], Words],
        unsubscribe: UnsubscribeUrls | None,
    ) -> None:
        self._notice = notice
        self._campaign_id = campaign_id
        self._channel = channel
        self._words_in = words_in
        self._words: dict[str, Words] = {}
        self._unsubscribe = unsubscribe
        self._message_key = _message_keys(campaign_id)

    def write(
        self, *, recipient_id: UUID, delivery_id: UUID, language: str, reference: str, name: str, address: str
    ) -> Outgoing:
        """The message to one person."""
        return Outgoing(
            delivery_id,
            self._campaign_id,
            self._message_key(recipient_id),
            address,
            self._content(language, reference, name),
            language,
            reference,
            None if self._unsubscribe is None else self._unsubscribe.url_for(delivery_id),
        )

    def _content(
        self, language: str, reference: str, name: str
    ) -> RenderedSms | RenderedEmail | RenderedVoice | PersonalEmail:
        if language in self._words:
            words = self._words[language]
        else:
            words = self._words[language] = self._words_in(language)
        if isinstance(words, RenderedVoice):
            return words
        if isinstance(words, SmsWords):
            return words.to(reference)
        if isinstance(words, EmailWords) and is_plain(name):
            return PersonalEmail(words, name, reference)
        return self._notice.write(language, self._channel, name, reference)


def _rendered_once(notice: Notice, channel: str, language: str) -> Words:
    words: Words = None
    if channel in {"sms", "im"}:
        words = sms_words(lambda reference: cast(RenderedSms, notice.write(language, channel, "", reference)))
    elif channel == "voice":
        words = cast(RenderedVoice, notice.write(language, channel, "", ""))
    elif channel == "email":
        words = email_words(
            lambda name, reference: cast(RenderedEmail, notice.write(language, channel, name, reference))
        )
    if words is None:
        log.info("notice.rendered-singly", template=notice.template.name, channel=channel, language=language)
    return words


def address_of(contact: Contact | ErasedContact | None, channel: str) -> str | None:
    """Where the channel reaches this person, if it does."""
    if contact is None:
        return None
    match channel:
        case "email":
            return contact.email
        case "sms" | "voice":
            return contact.phone
        case "im":
            return contact.im
        case "letter":
            return contact.postal
    return None


def reason_without_address(contact: Contact | ErasedContact | None) -> str:
    """Code of an attempt that cannot be made."""
    return "erased" if contact is not None and contact.erased else "no-contact"
