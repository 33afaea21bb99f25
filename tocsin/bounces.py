"""The workers that take in what comes back by mail, as the settings want them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import structlog

from notifier.bounces.desk import BounceDesk
from notifier.bounces.mailbox import BounceMailbox, MailboxFault, MailboxSettings
from notifier.bounces.smtp_intake import BounceIntake, IntakeLimits
from tocsin.settings_notifier import BounceSettings
from tocsin.workers import FAILURES_IN_A_ROW

log = structlog.get_logger(__name__)


class MailboxReading:
    """One look after another into the mailbox. A mailbox that cannot be read is logged loudly and tried again; it does
    not make the process unfit, which sends notices all the same."""

    def __init__(self, mailbox: BounceMailbox) -> None:
        self._mailbox = mailbox
        self.failures = 0

    def run_once(self) -> int:
        """Take in a batch. Returns how many mails."""
        try:
            taken = self._mailbox.run_once()
        except MailboxFault as error:
            self.failures += 1
            say = log.error if self.failures >= FAILURES_IN_A_ROW else log.warning
            say("bounces.mailbox-unread", reason=str(error), failures=self.failures)
            return 0
        self.failures = 0
        return taken


def mailbox_of(settings: BounceSettings, desk: BounceDesk) -> Callable[[], int]:
    """What reads the mailbox of the settings."""
    reader = BounceMailbox(
        MailboxSettings(
            host=settings.imap_host,
            port=settings.imap_port,
            username=settings.imap_username,
            password=settings.imap_password.get_secret_value(),
            security="tls" if settings.imap_tls == "implicit" else "starttls",
            folder=settings.imap_folder,
            done=settings.imap_done_folder,
            context=_trusting(settings.imap_ca_file),
        ),
        desk,
    )
    return MailboxReading(reader).run_once


def intake_of(settings: BounceSettings, desk: BounceDesk) -> BounceIntake:
    """The listener of the settings."""
    return BounceIntake(
        desk,
        host=settings.smtp_host,
        port=settings.smtp_port,
        hostname=settings.domain,
        limits=IntakeLimits(
            most_bytes=settings.smtp_max_bytes,
            connections=settings.smtp_connections,
            per_minute=settings.smtp_per_minute,
        ),
        tls=_offered(settings.smtp_certificate_file, settings.smtp_key_file),
    )


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def _offered(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context
