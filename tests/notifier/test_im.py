"""Instant messages through Apprise, to a web hook of our own: what is taken, what stays unclear, what is never said."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from incidents.errors import InvalidInput
from notifier.channels.channel import Outgoing
from notifier.channels.drill import DrillChannel
from notifier.channels.im import ImChannel, ImSettings, faults_of, read_services
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries.order import ChannelOrder
from notifier.templates import RenderedEmail, RenderedSms
from tests.notifier.house import PUBLIC_URL, open_house

TEXT = RenderedSms(text="Harbour Clinic: 部分数据 <b>&", segments=1)


class Hook:
    """A web hook. `answer` is its status; 0: it hangs until released."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answer = 200
        self.asked: list[tuple[str, bytes]] = []
        self.release = threading.Event()


@contextmanager
def web_hook() -> Iterator[Hook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.asked.append((self.path, body))
            if hook.answer == 0:
                hook.release.wait(60)
                return
            if hook.answer == 1:
                return  # hang up without an answer
            self.send_response(hook.answer)
            self.end_headers()

        def log_message(self, *_args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook = Hook(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.release.set()
        server.shutdown()
        server.server_close()


def send(channel: ImChannel, address: str, content: Any = TEXT) -> tuple[Outcome, int]:
    marked: list[int] = []

    async def about_to_write() -> None:
        marked.append(1)

    async def live() -> Outcome:
        try:
            message = Outgoing(uuid4(), uuid4(), uuid4(), address, content, "en", "x")
            return await channel.send(message, about_to_write)
        finally:
            await channel.close()

    return asyncio.run(live()), len(marked)


def channel_to(hook: Hook, **settings: Any) -> ImChannel:
    services = {"hook": f"json://127.0.0.1:{hook.port}/to/{{address}}", "room": f"json://127.0.0.1:{hook.port}/room"}
    return ImChannel(ImSettings(services, **settings))


def test_a_message_reaches_its_person_once() -> None:
    with web_hook() as hook:
        outcome, marked = send(channel_to(hook), "hook:lan@office")

        assert (outcome.verdict, marked) == (Verdict.ACCEPTED, 1)
        ((path, body),) = hook.asked
        assert path == "/to/lan@office"
        assert json.loads(body)["message"] == TEXT.text


def test_a_group_gets_title_and_text() -> None:
    mail = RenderedEmail(subject="Duty pressing", text="INC-7F3K-9Q2M\n", html="<p>")
    with web_hook() as hook:
        outcome, _ = send(channel_to(hook), "room:", mail)

        assert outcome.verdict is Verdict.ACCEPTED
        assert json.loads(hook.asked[0][1])["title"] == "Duty pressing"


def test_a_chat_server_that_speaks_slacks_form_is_reached() -> None:
    with web_hook() as hook:
        token = "3ccdd113474722377935511fc85d3dd4"
        channel = ImChannel(ImSettings({"chat": f"mmost://127.0.0.1:{hook.port}/{token}"}))
        outcome, _ = send(channel, "chat:")

        assert outcome.verdict is Verdict.ACCEPTED
        assert TEXT.text in json.loads(hook.asked[0][1])["text"]


@pytest.mark.parametrize("answer", [400, 429, 500, 1])
def test_what_apprise_hides_is_unclear_and_tried_no_second_time_by_itself(answer: int) -> None:
    with web_hook() as hook:
        hook.answer = answer
        outcome, marked = send(channel_to(hook), "hook:1")

        assert (outcome.verdict, outcome.code, marked) == (Verdict.AMBIGUOUS, "not-confirmed", 1)
        assert len(hook.asked) == 1


def test_a_server_that_never_answers_holds_nobody_up() -> None:
    with web_hook() as hook:
        hook.answer = 0
        outcome, _ = send(channel_to(hook, timeout=0.3, read_timeout=1.0), "hook:1")

        assert (outcome.verdict, outcome.code) == (Verdict.AMBIGUOUS, "timeout")


def test_an_address_of_no_service_writes_nothing() -> None:
    with web_hook() as hook:
        assert send(channel_to(hook), "telegram:1") == (Outcome(Verdict.REJECTED, code="no-service"), 0)
        nonsense = ImChannel(ImSettings({"tg": "tgram://no-token/{address}"}))
        assert send(nonsense, "tg:1") == (Outcome(Verdict.REJECTED, code="address"), 0)
        assert not hook.asked


@pytest.mark.parametrize(
    "identifier", ["../../admin", "a/b", "x?y=1", "x#y", "%2e%2e", "..", "a..b", "", "user:pw@evil.example"]
)
def test_an_identifier_cannot_lead_elsewhere(identifier: str) -> None:
    with web_hook() as hook:
        assert send(channel_to(hook), f"hook:{identifier}") == (Outcome(Verdict.REJECTED, code="address"), 0)
        assert not hook.asked


def test_secrets_and_persons_are_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    with web_hook() as hook, caplog.at_level(logging.DEBUG):
        hook.answer = 500
        services = {"hook": f"json://user:very-secret@127.0.0.1:{hook.port}/{{address}}"}
        settings = ImSettings(services)
        send(ImChannel(settings), "hook:lan-anh")

        assert hook.asked
        for said in (caplog.text, repr(settings)):
            assert "very-secret" not in said
            assert "lan-anh" not in said


def test_addresses_are_read_from_lines_and_faults_name_the_line_only() -> None:
    text = "# ours\n\ntelegram = tgram://123456789:abcdefg_hijklmnop/{address}\n"
    found = read_services(text, "im.services", for_persons=True)
    assert found == {"telegram": "tgram://123456789:abcdefg_hijklmnop/{address}"}
    assert faults_of(found, "im.services") == []
    assert "knows no such address" in faults_of({"x": "nothing://secret/{address}"}, "im.services")[0].reason
    for wrong in ("telegram tgram://secret", "Tele gram = tgram://secret/{address}", "t = tgram://secret"):
        with pytest.raises(InvalidInput) as refused:
            read_services(wrong, "im.services", for_persons=True)
        assert "line 1" in refused.value.errors[0].reason
        assert "secret" not in str(refused.value.errors) + refused.value.detail
    with pytest.raises(InvalidInput):
        read_services("soc = slack://a/{address}", "im.groups", for_persons=False)


def test_a_drills_messages_reach_nobody() -> None:
    async def about_to_write() -> None: ...

    with web_hook() as hook:
        message = Outgoing(uuid4(), uuid4(), uuid4(), "hook:1", TEXT, "en", "x")
        drill = DrillChannel("im")
        assert asyncio.run(drill.send(message, about_to_write)).verdict is Verdict.ACCEPTED
        assert not hook.asked


@pytest.mark.slow
def test_a_campaign_reaches_people_by_instant_message_and_goes_on_where_it_does_not(tmp_path: Path) -> None:
    async def story(hook: Hook) -> None:
        order = ChannelOrder.plain(["im", "email"])
        im = channel_to(hook)
        async with open_house(tmp_path, channel_order=order, more_channels={"im": im}) as house:
            csv = (
                "name,phone,email,language,country,im\r\n"
                "Zacharias Quill,,z@example.com,zh-Hans,CN,hook:wei\r\n"
                "Minh,,m@example.com,vi,VN,unknown:minh\r\n"
                "Only,,,en,GB,hook:only\r\n"
            )
            view = house.started(csv)
            done = await house.finish(view.campaign_id)

            assert done.outcomes["accepted"] == 3
            assert sorted(path for path, _ in hook.asked) == ["/to/only", "/to/wei"]
            assert "海港诊所" in json.loads(next(body for path, body in hook.asked if path == "/to/wei"))["message"]
            assert PUBLIC_URL in json.loads(hook.asked[0][1])["message"]
            assert [message.recipient for message in house.standins.store.messages()] == ["m@example.com"]
            told = "".join(recorded.event.model_dump_json() for recorded in house.record.read(0, 1000))
            assert not any(word in told for word in ("hook:", "wei", "Quill", "@example.com"))

    with web_hook() as hook:
        asyncio.run(story(hook))
