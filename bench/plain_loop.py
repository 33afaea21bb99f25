"""What one writes without a notifier: a table of addresses, a loop over aiosmtplib, a mark in the table after a mail.

`python -m bench.plain_loop SETTINGS` with JSON: `file` (SQLite), `port`, `die_after` (the n-th mail that was taken but
not yet marked ends the process by SIGKILL; 0: never).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterable
from typing import Any

import aiosmtplib

SENDER = "notice@harbour.example"
BODY = "Subject: A security incident\r\nFrom: notice@harbour.example\r\n\r\nPart of our register was copied.\r\n"
TRIES = 5


def make_table(file: str, addresses: Iterable[str]) -> None:
    """A fresh table of people to be told."""
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE people (address TEXT PRIMARY KEY, told INTEGER, tries INTEGER)")
        database.executemany("INSERT INTO people VALUES (?, 0, 0)", ((address,) for address in addresses))


def waiting(file: str) -> int:
    """How many are still to be told, by the table."""
    with sqlite3.connect(file) as database:
        found = database.execute("SELECT count(*) FROM people WHERE told = 0 AND tries < ?", (TRIES,)).fetchone()
    return int(found[0])


def told(file: str) -> set[str]:
    """Who was told, by the table."""
    with sqlite3.connect(file) as database:
        return {address for (address,) in database.execute("SELECT address FROM people WHERE told = 1")}


async def main(settings: dict[str, Any]) -> None:
    database, left = sqlite3.connect(settings["file"], timeout=30), int(settings["die_after"])
    client: aiosmtplib.SMTP | None = None
    while page := database.execute(
        "SELECT address FROM people WHERE told = 0 AND tries < ? ORDER BY tries, address LIMIT 50", (TRIES,)
    ).fetchall():
        for (address,) in page:
            try:
                if client is None:
                    client = aiosmtplib.SMTP(
                        hostname="127.0.0.1", port=settings["port"], use_tls=False, start_tls=False, timeout=5
                    )
                    await client.connect()
                await client.sendmail(SENDER, [address], f"To: {address}\r\n{BODY}")
            except (aiosmtplib.SMTPException, OSError):
                client = None
                database.execute("UPDATE people SET tries = tries + 1 WHERE address = ?", (address,))
            else:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                database.execute("UPDATE people SET told = 1 WHERE address = ?", (address,))
            database.commit()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
