"""The mailbox that bounces are delivered to, read by IMAP (RFC 3501) over TLS.

A mail is moved away only after its effect is committed. A kill in between reads it again, which has no second effect.
"""

from __future__ import annotations

import contextlib
import imaplib
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import structlog

from notifier.bounces.desk import BounceDesk
from notifier.bounces.mail import MAX_BYTES

log = structlog.get_logger(__name__)

_PARTIAL = re.compile(rb"BODY\[\]")


@dataclass(frozen=True, slots=True)
class MailboxSettings:
    """Where the mailbox is. `done` is a folder that mails are moved to once they are taken in; empty: they are deleted.
    `context` says which certificates are trusted; they are always checked."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    security: Literal["tls", "starttls", "plain"] = "tls"
    folder: str = "INBOX"
    done: str = ""
    timeout: float = 30.0
    batch: int = 5_000
    context: ssl.SSLContext | None = field(default=None, repr=False)


class MailboxFault(Exception):
    """The mailbox could not be read. Carries a word of ours, never what the server said."""


class BounceMailbox:
    """Reads the mailbox. Synchronous: call it from a thread."""

    def __init__(self, settings: MailboxSettings, desk: BounceDesk) -> None:
        self._settings = settings
        self._desk = desk

    def run_once(self) -> int:
        """Take in what lies in the mailbox, at most a batch. Returns how many mails. MailboxFault when that fails; what
        was taken in before stays so."""
        taken = 0
        try:
            with self._opened() as server:
                for uid in self._waiting(server)[: self._settings.batch]:
                    raw = self._fetched(server, uid)
                    if raw is not None:
                        self._desk.accept(raw)
                    self._put_away(server, uid)
                    taken += 1
        except (imaplib.IMAP4.error, OSError, ssl.SSLError) as error:
            reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else type(error).__name__
            raise MailboxFault(str(reason)[:60]) from None
        return taken

    @contextmanager
    def _opened(self) -> Iterator[imaplib.IMAP4]:
        settings = self._settings
        context = settings.context or ssl.create_default_context()
        if settings.security == "tls":
            server: imaplib.IMAP4 = imaplib.IMAP4_SSL(
                settings.host, settings.port, ssl_context=context, timeout=settings.timeout
            )
        else:
            server = imaplib.IMAP4(settings.host, settings.port, timeout=settings.timeout)
        try:
            if settings.security == "starttls":
                server.starttls(ssl_context=context)
            server.login(settings.username, settings.password)
            _expect(server.select(_quoted(settings.folder)), "select")
            yield server
        finally:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                server.logout()
            with contextlib.suppress(OSError, AttributeError):
                server.sock.shutdown(socket.SHUT_RDWR)

    def _waiting(self, server: imaplib.IMAP4) -> list[bytes]:
        found = _expect(server.uid("SEARCH", "UNDELETED"), "search")
        uids: list[bytes] = found[0].split() if found and isinstance(found[0], bytes) else []
        return uids

    def _fetched(self, server: imaplib.IMAP4, uid: bytes) -> bytes | None:
        """The start of a mail: all that is looked at, so that 20 MB stay where they are."""
        answer = _expect(server.uid("FETCH", uid.decode(), f"(BODY.PEEK[]<0.{MAX_BYTES}>)"), "fetch")
        for part in answer:
            if isinstance(part, tuple) and _PARTIAL.search(part[0]):
                return bytes(part[1])
        log.info("bounces.mail-gone")  # somebody else took it between the search and now
        return None

    def _put_away(self, server: imaplib.IMAP4, uid: bytes) -> None:
        name = uid.decode()
        if self._settings.done:
            folder = _quoted(self._settings.done)
            if "MOVE" in server.capabilities:
                _expect(server.uid("MOVE", name, folder), "move")
                return
            _expect(server.uid("COPY", name, folder), "copy")
        _expect(server.uid("STORE", name, "+FLAGS.SILENT", r"(\Deleted \Seen)"), "store")
        if "UIDPLUS" in server.capabilities:
            _expect(server.uid("EXPUNGE", name), "expunge")
        else:
            _expect(server.expunge(), "expunge")


def _expect(answer: tuple[str, Sequence[object]], what: str) -> Sequence[object]:
    kind, values = answer
    if kind != "OK":
        raise imaplib.IMAP4.error(what)
    return values


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
