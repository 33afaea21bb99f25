"""A mailbox server in a thread: as much of IMAP4rev1 (RFC 3501; MOVE, RFC 6851; UIDPLUS, RFC 4315) as is needed."""

from __future__ import annotations

import re
import socketserver
import ssl
import threading
from dataclasses import dataclass, field


@dataclass
class Mailbox:
    """Folders with mails by UID. `faults`: commands at which the connection is cut, once each."""

    folders: dict[str, dict[int, bytes]] = field(default_factory=lambda: {"INBOX": {}, "Done": {}})
    capabilities: str = "IMAP4rev1 UIDPLUS MOVE"
    password: str = "a secret"
    faults: list[str] = field(default_factory=list)
    fetched: list[int] = field(default_factory=list)
    deleted: set[int] = field(default_factory=set)
    next_uid: int = 1

    def put(self, *mails: bytes) -> None:
        for mail in mails:
            self.folders["INBOX"][self.next_uid] = mail
            self.next_uid += 1


class _Session(socketserver.StreamRequestHandler):
    server: ImapServer

    def handle(self) -> None:
        if self.server.tls is not None:
            try:
                self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
            except (ssl.SSLError, OSError):  # the client did not trust us: what a test wants to see
                return
            self.rfile = self.connection.makefile("rb")
        self._send("* OK here")
        while line := self.rfile.readline(65_536):
            tag, _, rest = line.decode().strip().partition(" ")
            word = next((one for one in self.server.mailbox.faults if rest.upper().startswith(one)), None)
            if word is not None:
                self.server.mailbox.faults.remove(word)
                return
            answer = self._answer(rest)
            self._send(f"{tag} {answer}")
            if rest.upper().startswith("LOGOUT"):
                return

    def _send(self, text: str, literal: bytes | None = None) -> None:
        self.connection.sendall(text.encode() + b"\r\n" if literal is None else text.encode() + literal)

    def _answer(self, said: str) -> str:
        box, inbox = self.server.mailbox, self.server.mailbox.folders["INBOX"]
        upper = said.upper()
        if upper.startswith("CAPABILITY"):
            self._send(f"* CAPABILITY {box.capabilities}")
        elif upper.startswith("LOGIN"):
            if f'"{box.password}"' not in said:
                return "NO [AUTHENTICATIONFAILED] wrong"
        elif upper.startswith("SELECT"):
            if said.split(" ", 1)[1].strip('"') not in box.folders:
                return "NO no such folder"
            self._send(f"* {len(inbox)} EXISTS")
        elif upper.startswith("UID SEARCH"):
            self._send("* SEARCH" + "".join(f" {uid}" for uid in sorted(inbox.keys() - box.deleted)))
        elif (match := re.match(r"UID FETCH (\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", said)) is not None:
            uid, most = int(match.group(1)), int(match.group(2))
            if uid in inbox:
                box.fetched.append(uid)
                mail = inbox[uid][:most]
                self._send(f"* 1 FETCH (UID {uid} BODY[]<0> {{{len(mail)}}}\r\n", mail + b")\r\n")
        elif (match := re.match(r'UID (MOVE|COPY) (\d+) "(.+)"', said)) is not None:
            uid = int(match.group(2))
            if match.group(3) not in box.folders:
                return "NO [TRYCREATE] no such folder"
            box.folders[match.group(3)][uid] = inbox[uid]
            if match.group(1) == "MOVE":
                del inbox[uid]
        elif (match := re.match(r"UID STORE (\d+) \+FLAGS\.SILENT", said)) is not None:
            box.deleted.add(int(match.group(1)))
        elif "EXPUNGE" in upper:
            for uid in box.deleted & inbox.keys():
                del inbox[uid]
        elif not upper.startswith("LOGOUT"):
            return "BAD not understood"
        return "OK done"


class ImapServer(socketserver.ThreadingTCPServer):
    """Use as a context manager; `port` is where it listens."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, mailbox: Mailbox, tls: ssl.SSLContext | None) -> None:
        self.mailbox, self.tls = mailbox, tls
        super().__init__(("127.0.0.1", 0), _Session)
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def server_close(self) -> None:
        self.shutdown()
        super().server_close()
