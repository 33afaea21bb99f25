"""Importing an audience into the database against reading, parsing and encrypting the same file and keeping nothing.

Both sides read the CSV, bring telephone numbers to E.164 and addresses to their normal form by the same libraries, and
seal each contact under a key of its own. Ours is everything else too: names and languages checked, repeats folded,
recipients and sealed contacts committed in resumable batches, and the audience frozen by its Merkle root.
"""

from __future__ import annotations

import csv
import io
import json
import os
from functools import cache
from pathlib import Path
from uuid import uuid4

import phonenumbers
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from email_validator import validate_email

from bench.rounds import Comparison, Work, compare
from incidents.clock import SystemClock
from incidents.record import Context
from incidents.record.database import metadata, open_engine
from notifier.audience import AudienceFormat, Audiences, ImportLimits, RowChecker, language_chooser
from notifier.vault import MasterKeys, Vault

AIM = 0.6
KEYS = MasterKeys("bench", {"bench": bytes(range(32))})


def against_no_database(folder: Path, people: int, runs: int) -> Comparison:
    """Rows a second, from the file to the frozen audience."""
    content = _file(people)
    return compare(
        "import: against no database",
        aim=AIM,
        ours=lambda run: _import(folder / f"audience-{run}.sqlite", content),
        bare=lambda _run: lambda: _encrypt(content),
        runs=runs,
    )


@cache
def _file(people: int) -> bytes:
    rows = (
        f"Person {n},+86138{n:08d},p{n}@host{n % 50}.example.com,zh-CN,CN\r\n"
        if n % 2
        else f"Person {n},138{n:08d},,zh-CN,CN\r\n"
        for n in range(people)
    )
    return ("name,phone,email,language,country\r\n" + "".join(rows)).encode()


def _import(path: Path, content: bytes) -> Work:
    engine = open_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    clock = SystemClock()
    checker = RowChecker(language_chooser(("en", "zh-Hans", "vi"), {}, "en"))
    audiences = Audiences(engine, Vault(engine, KEYS, clock), clock, checker, ImportLimits(max_rows=10_000_000))

    def work() -> int:
        context = Context.of_command("user:bench", clock)
        made = audiences.import_file(io.BytesIO(content), context, AudienceFormat.CSV)
        engine.dispose()
        return made.recipients

    return work


def _encrypt(content: bytes) -> int:
    master, done = AESGCM(KEYS.get("bench")), 0
    for row in csv.DictReader(io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="")):
        number = phonenumbers.parse(row["phone"], row["country"])
        assert phonenumbers.is_valid_number(number)
        phone = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        email = validate_email(row["email"], check_deliverability=False).normalized if row["email"] else None
        plain = json.dumps({"name": row["name"], "phone": phone, "email": email}).encode()
        key, nonce, bound = AESGCM.generate_key(bit_length=256), os.urandom(12), uuid4().bytes
        sealed = AESGCM(key).encrypt(nonce, plain, bound), master.encrypt(os.urandom(12), key, bound)
        done += len(sealed) // 2
    return done
