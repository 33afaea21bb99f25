"""The stand-ins in a process of their own: killed, restarted, nothing lost; and inside a thread."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import aiosmtplib
import httpx
from twilio.rest import Client

from notifier.channels.twilio_http import PooledTwilioHttpClient
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.outcomes import ordinary_numbers
from notifier.standins.runner import Standins
from tests.notifier.house import PATIENCE
from tests.notifier.standins.standin_harness import ACCOUNT, TOKEN, run

ROOT = Path(__file__).parents[3]


class Process:
    """``python -m notifier.standins`` on free ports over one file."""

    def __init__(self, file: Path, *options: str) -> None:
        environment = os.environ | {"TOCSIN_STANDIN_AUTH_TOKEN": TOKEN, "TOCSIN_STANDIN_ACCOUNT_SID": ACCOUNT}
        command = [sys.executable, "-m", "notifier.standins", "--port=0", "--smtp-port=0", f"--store={file}"]
        self.process = subprocess.Popen(
            [*command, "--step-delay=0.01", *options], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.addresses: dict[str, Any] = json.loads(self.process.stdout.readline())

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


async def send_sms(addresses: dict[str, Any], numbers: list[str]) -> list[str]:
    async with PooledTwilioHttpClient(addresses["twilio_url"]) as http:
        client = Client(ACCOUNT, TOKEN, http_client=http)
        return [
            (await client.messages.create_async(to=number, from_="+15005550006", body="Hello")).sid
            for number in numbers
        ]


async def send_mail(addresses: dict[str, Any], people: list[str]) -> None:
    host, port = addresses["smtp_host"], addresses["smtp_port"]
    async with aiosmtplib.SMTP(hostname=host, port=port, start_tls=False) as client:
        for person in people:
            await client.sendmail("a@x.example", [person], b"Subject: hello\r\n\r\nHello\r\n")


def test_kill_9_right_after_the_answers_loses_nothing_and_the_next_process_finishes(tmp_path: Path) -> None:
    file = tmp_path / "outbox.sqlite"
    numbers = list(ordinary_numbers("GB"))
    told: dict[str, int] = {}
    sids: list[str] = []
    for life in range(3):
        process = Process(file)
        try:
            mine, people = numbers[life * 20 : life * 20 + 20], [f"p{life}-{n}@x.example" for n in range(20)]
            sids += run(send_sms(process.addresses, mine))
            run(send_mail(process.addresses, people))
            told |= dict.fromkeys([*mine, *people], 1)
        finally:
            assert process.end(signal.SIGKILL) == -signal.SIGKILL
    store = OutboxStore(file)
    assert store.counts() == told
    process = Process(file)
    try:
        counts = httpx.get(process.addresses["outbox_url"] + "/counts.json", timeout=PATIENCE).json()["counts"]
        assert counts == told
        limit = time.monotonic() + PATIENCE
        while store.unfinished("sms") and time.monotonic() < limit:
            time.sleep(0.02)
        assert {m.sid: m.status for m in store.messages(channel="sms", limit=100)} == dict.fromkeys(sids, "delivered")
    finally:
        assert process.end(signal.SIGTERM) == 0
        store.close()


def test_the_made_up_token_is_shown_and_a_given_one_is_not(tmp_path: Path) -> None:
    process = Process(tmp_path / "outbox.sqlite")
    assert "auth_token" not in process.addresses
    assert process.end(signal.SIGINT) == 0


def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    first = Process(tmp_path / "one.sqlite")
    try:
        taken = first.addresses["smtp_port"]
        command = [sys.executable, "-m", "notifier.standins", "--port=0", f"--smtp-port={taken}"]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert second.returncode == 1
        assert "Cannot listen" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        first.end(signal.SIGTERM)


def test_they_run_in_a_thread_beside_another_loop() -> None:
    store = OutboxStore()
    ready, stop = threading.Event(), threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        async with Standins(store) as standins:
            found.update(url=standins.twilio_url, host=standins.smtp_host, port=standins.smtp_port)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        run(send_mail({"smtp_host": found["host"], "smtp_port": found["port"]}, ["an@x.example"]))
        assert store.counts() == {"an@x.example": 1}
        assert httpx.get(f"{found['url']}/outbox", timeout=PATIENCE).status_code == 200
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    store.close()
