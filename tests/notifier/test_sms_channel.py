"""The SMS channel: what Twilio's answers mean, asked of a server that speaks as Twilio does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from twilio.base.exceptions import TwilioRestException

from incidents.clock import SystemClock
from notifier.channels import twilio_http
from notifier.channels.channel import Found, Outgoing, ProviderUnavailable
from notifier.channels.outcome import Outcome, Verdict, outcome_table
from notifier.channels.sms import SmsChannel, SmsSettings
from notifier.channels.twilio_asking import unavailable
from notifier.channels.twilio_http import PooledTwilioHttpClient, SendPhase, TwilioTransportError
from notifier.channels.voice import VoiceChannel, VoiceSettings
from notifier.receipts.callback_url import CallbackUrls
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.outcomes import ordinary_numbers, simulated_number
from notifier.standins.runner import Standins, StandinSettings
from notifier.templates import RenderedSms, RenderedVoice
from tests.notifier.house import PATIENCE, SECRET, TOKEN

MARKER = "AAAAA-BBBBB"


def outgoing(number: str) -> Outgoing:
    return Outgoing(
        delivery_id=uuid4(),
        campaign_id=UUID(int=9),
        message_key=uuid4(),
        address=number,
        content=RenderedSms(text=f"Notice {MARKER}", segments=1),
        language="en",
        marker=MARKER,
    )


async def nothing() -> None:
    return None


@pytest.mark.parametrize("code", ["1" + "0" * 60, "-21211", "true", '"21211"', "[]"])
def test_a_code_that_is_none_is_not_kept(code: str) -> None:
    """It would fit in no row, and everybody who is entered with it would wait."""
    channel = SmsChannel(SmsSettings("AC1", TOKEN, "+15005550006"), PooledTwilioHttpClient(), None)
    assert channel._outcome(400, f'{{"code": {code}}}').code == "400"
    found = channel._read("SM1", "failed", "9" * 60)
    assert found is not None
    assert found.code is None


@pytest.mark.parametrize(
    ("outcome", "verdict", "code"),
    [
        ("delivered", Verdict.ACCEPTED, None),
        ("invalid-number", Verdict.REJECTED, "21211"),
        ("opted-out", Verdict.REJECTED, "21610"),
        ("busy-first", Verdict.TEMPORARY, "20429"),
        ("error-but-accepted", Verdict.AMBIGUOUS, "20500"),
        ("error-not-accepted", Verdict.AMBIGUOUS, "20500"),
        ("unavailable", Verdict.AMBIGUOUS, "20503"),
        ("answer-lost", Verdict.AMBIGUOUS, None),
        ("request-lost", Verdict.AMBIGUOUS, None),
        ("slow", Verdict.AMBIGUOUS, None),
    ],
)
def test_answers(tmp_path: Path, outcome: str, verdict: Verdict, code: str | None) -> None:
    # Only where the provider is to be too slow is there little time.
    patience = 2.0 if outcome == "slow" else PATIENCE
    settings = StandinSettings(auth_token=TOKEN, step_delay=3600, slow_seconds=2 * PATIENCE)

    def channel_to(standins: Standins, seconds: float) -> SmsChannel:
        return SmsChannel(
            SmsSettings(standins.settings.account_sid, TOKEN, sender="+15005550006", timeout=seconds),
            PooledTwilioHttpClient(standins.twilio_url, timeout=seconds),
            CallbackUrls("https://notify.example", SECRET),
        )

    async def live() -> None:
        store = OutboxStore(tmp_path / "outbox.sqlite")
        async with Standins(store, settings) as standins:
            number = simulated_number(outcome)
            message = outgoing(number)
            impatient, channel = channel_to(standins, patience), channel_to(standins, PATIENCE)
            result = await impatient.send(message, nothing)
            await impatient.close()
            assert result.verdict is verdict
            if code:
                assert result.code == code
            assert number.strip("+") not in (result.code or "")
            kept = store.messages(to=number)
            found = await channel.find(number, MARKER, datetime.now(UTC))
            assert [known.provider_id for known in found] == [message.sid for message in kept]
            assert await channel.find(number, "OTHER", datetime.now(UTC)) == []
            assert await channel.find(number, MARKER, datetime.now(UTC) + timedelta(hours=1)) == []
            if kept:
                query = parse_qs(urlsplit(kept[0].status_callback).query)
                assert query["delivery"] == [str(message.delivery_id)]
                looked = await channel.look_up(kept[0].sid)
                assert looked is not None
                assert looked.state == "accepted"
            assert await channel.look_up("SM" + "0" * 32) is None
            await channel.close()
        store.close()

    asyncio.run(live())


def test_the_mark_comes_before_the_request(tmp_path: Path) -> None:
    async def live() -> None:
        store = OutboxStore(tmp_path / "outbox.sqlite")
        async with Standins(store, StandinSettings(auth_token=TOKEN)) as standins:
            channel = SmsChannel(
                SmsSettings(standins.settings.account_sid, TOKEN, sender="+15005550006"),
                PooledTwilioHttpClient(standins.twilio_url),
                None,
            )

            async def lost() -> None:
                assert store.messages() == []
                raise LookupError

            with pytest.raises(LookupError):
                await channel.send(outgoing(next(ordinary_numbers("GB"))), lost)
            assert store.messages() == []
            await channel.close()
        store.close()

    asyncio.run(live())


@pytest.mark.parametrize("kind", ["sms", "voice"])
def test_the_right_to_write_is_asked_for_when_the_connection_stands(kind: str) -> None:
    """What was right before may be wrong when it stands at last: the process was stopped meanwhile, or the provider
    took its time. Where there is no connection nothing is marked."""

    async def live() -> None:
        arrived, over, said = asyncio.Event(), asyncio.Event(), bytearray()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.set()
            said.extend(await reader.read())
            writer.close()
            over.set()

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def lost() -> None:
            await asyncio.wait_for(arrived.wait(), PATIENCE)
            raise LookupError

        channel, message = channel_of(kind, f"http://127.0.0.1:{port}")
        with pytest.raises(LookupError):
            await channel.send(message, lost)
        await channel.close()
        await asyncio.wait_for(over.wait(), PATIENCE)
        assert not said
        server.close()
        await server.wait_closed()

        channel, message = channel_of(kind, f"http://127.0.0.1:{port}")
        assert (await channel.send(message, lost)).verdict is Verdict.TEMPORARY
        await channel.close()

    asyncio.run(live())


def test_what_was_asked_for_too_long_ago_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process stood still between the question and the first byte."""
    monkeypatch.setattr(twilio_http, "STALE", -1.0)
    assert _posted(None) == (Verdict.TEMPORARY, b"")


def test_a_connection_that_is_closed_while_the_right_is_asked_for_has_carried_nothing() -> None:
    """The next try is no repeat: the provider did not wait for our books."""
    assert _posted(lambda writer: writer.close()) == (Verdict.TEMPORARY, b"")


def _posted(while_asking: Callable[[asyncio.StreamWriter], None] | None) -> tuple[Verdict, bytes]:
    """What a server hears that does this while the right to write is asked for, and what comes of it."""

    async def live() -> tuple[Verdict, bytes]:
        arrived, over, said = asyncio.Event(), asyncio.Event(), bytearray()
        writers: list[asyncio.StreamWriter] = []

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            arrived.set()
            said.extend(await reader.read())
            writer.close()
            over.set()

        async def asked() -> None:
            await asyncio.wait_for(arrived.wait(), PATIENCE)
            if while_asking is not None:
                while_asking(writers[0])
                await asyncio.wait_for(over.wait(), PATIENCE)

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        channel, message = channel_of("sms", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        outcome = await channel.send(message, asked)
        await channel.close()
        await asyncio.wait_for(over.wait(), PATIENCE)
        server.close()
        await server.wait_closed()
        return outcome.verdict, bytes(said)

    return asyncio.run(live())


def channel_of(kind: str, url: str) -> tuple[SmsChannel | VoiceChannel, Outgoing]:
    """A channel that reaches its provider there, and a message for it."""
    http = PooledTwilioHttpClient(url)
    if kind == "sms":
        return SmsChannel(SmsSettings("AC1", TOKEN, "+15005550006"), http, None), outgoing("+447700900000")
    content = RenderedVoice(text="Your data was stolen.", language="en")
    message = replace(outgoing("+447700900000"), content=content)
    return VoiceChannel(VoiceSettings("AC1", TOKEN, "+15005550006"), http, None), message


@pytest.mark.parametrize(("status", "lasting"), [(401, True), (403, True), (404, True), (429, False), (503, False)])
def test_a_refusal_to_say_is_told_from_a_provider_that_is_away(status: int, lasting: bool) -> None:
    refused = unavailable(TwilioRestException(status, "/Messages.json", "with a number in it"))
    assert (str(refused), refused.lasting) == (str(status), lasting)
    lost = unavailable(TwilioTransportError(SendPhase.AMBIGUOUS, "ServerDisconnectedError"))
    assert (str(lost), lost.lasting) == ("TwilioTransportError", False)


def test_an_id_or_code_that_is_too_long_loses_no_outcome() -> None:
    """A Message-ID under a long domain: the database would refuse the row, and everybody's who is entered with it."""
    long = f"<{'x' * 30}@{'a' * 200}.example>"
    kept = Outcome(Verdict.ACCEPTED, "c" * 90, provider_id=long)
    assert kept.provider_id == f"sha256:{sha256(long.encode()).hexdigest()}" == Found(long, "accepted").provider_id
    assert kept.code == "c" * 40
    assert Outcome(Verdict.ACCEPTED, "250 2.0.0", provider_id="SM1").provider_id == "SM1"


def test_nobody_listens() -> None:
    async def live() -> None:
        channel = SmsChannel(
            SmsSettings("AC1", TOKEN, sender="+15005550006"), PooledTwilioHttpClient("http://127.0.0.1:9"), None
        )
        assert (await channel.send(outgoing("+447700900123"), nothing)).verdict is Verdict.TEMPORARY
        with pytest.raises(ProviderUnavailable):
            await channel.find("+447700900123", MARKER, SystemClock().now())
        with pytest.raises(ProviderUnavailable):
            await channel.look_up("SM1")
        await channel.close()

    asyncio.run(live())


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        (400, 21211, Verdict.REJECTED),
        (400, 99999, Verdict.REJECTED),
        (400, 21606, Verdict.CAMPAIGN_FAULT),
        (401, 20003, Verdict.CAMPAIGN_FAULT),
        (403, None, Verdict.CAMPAIGN_FAULT),
        (404, 20404, Verdict.CAMPAIGN_FAULT),
        (408, None, Verdict.AMBIGUOUS),
        (429, 20429, Verdict.TEMPORARY),
        (429, 21211, Verdict.TEMPORARY),
        (500, 20500, Verdict.AMBIGUOUS),
        (503, 21211, Verdict.AMBIGUOUS),
        (302, None, Verdict.AMBIGUOUS),
    ],
)
def test_the_http_class_comes_before_the_code(status: int, code: int | None, verdict: Verdict) -> None:
    assert outcome_table().of_twilio_error(status, code) is verdict


def test_a_sender_is_needed() -> None:
    with pytest.raises(ValueError, match="sender"):
        SmsChannel(SmsSettings("AC1", TOKEN), PooledTwilioHttpClient(), None)
